"""PrimeKG. Its Dataverse tells size and MD5 when asked; neither is written down here."""

from rxweave.kg.catalogue.source import RemoteFile, Source

SOURCE = Source(
    name="primekg",
    title="PrimeKG: diseases, drugs, genes, phenotypes and more of 20 resources",
    homepage="https://github.com/mims-harvard/PrimeKG",
    licence="stated by Harvard Dataverse (doi:10.7910/DVN/IXA7BM); its 20 resources keep their own terms, some of "
    "them non-commercial (DrugBank)",
    citation="Chandak, Huang and Zitnik. Building a knowledge graph to enable precision medicine. "
    "Scientific Data 10, 67 (2023). doi:10.1038/s41597-023-01960-3",
    files=(
        RemoteFile(
            name="kg.csv",
            url="https://dataverse.harvard.edu/api/access/datafile/6180620",
            dataverse="10.7910/DVN/IXA7BM",
        ),
    ),
    nodes=129_375,
    edges=4_050_249,
)
