"""DRKG: one archive, of which the triples are taken; the embeddings in it are left out."""

from rxweave.kg.catalogue.source import RemoteFile, Source

SOURCE = Source(
    name="drkg",
    title="DRKG: DrugBank, Hetionet, GNBR, STRING, IntAct, DGIdb and literature as triples",
    homepage="https://github.com/gnn4dr/DRKG",
    licence="Apache-2.0 for the project; its resources keep their own terms, most of them non-commercial",
    citation="Ioannidis et al. DRKG: Drug Repurposing Knowledge Graph for Covid-19 (2020). "
    "https://github.com/gnn4dr/DRKG",
    files=(
        RemoteFile(
            name="drkg.tar.gz",
            url="https://dgl-data.s3-us-west-2.amazonaws.com/dataset/DRKG/drkg.tar.gz",
            members=("drkg.tsv",),
        ),
    ),
    nodes=97_238,
    edges=5_874_261,
)
