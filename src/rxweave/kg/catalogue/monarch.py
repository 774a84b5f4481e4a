"""The Monarch Initiative's graph in KGX: always the latest release, so nothing about it can be fixed in advance."""

from rxweave.kg.catalogue.source import RemoteFile, Source

SOURCE = Source(
    name="monarch",
    title="Monarch: genes, phenotypes and diseases across species, in KGX (few drugs)",
    homepage="https://monarchinitiative.org",
    licence="not fixed here: every resource in it keeps its own terms; see its homepage",
    citation="Putman et al. The Monarch Initiative in 2024: an analytic platform integrating phenotypes, genes and "
    "diseases across species. Nucleic Acids Research 52, D938 (2024). doi:10.1093/nar/gkad1082",
    files=(
        RemoteFile(
            name="monarch-kg.tar.gz",
            url="https://data.monarchinitiative.org/monarch-kg/latest/monarch-kg.tar.gz",
            members=("monarch-kg_nodes.tsv", "monarch-kg_edges.tsv"),
        ),
    ),
)
