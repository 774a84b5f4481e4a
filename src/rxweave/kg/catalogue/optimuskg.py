"""OptimusKG, which PrimeKG names as its successor: its two whole tables, by way of its Dataverse's listing."""

from rxweave.kg.catalogue.source import RemoteFile, Source

_DOI = "10.7910/DVN/IYNGEV"

SOURCE = Source(
    name="optimuskg",
    title="OptimusKG: ten kinds of nodes of 65 resources",
    homepage="https://github.com/mims-harvard/OptimusKG",
    licence="stated by Harvard Dataverse (doi:10.7910/DVN/IYNGEV); its 65 resources keep their own terms, some of "
    "them non-commercial",
    citation="Vittor et al. OptimusKG: Unifying biomedical knowledge in a modern multimodal graph. "
    "Scientific Data (2026). doi:10.7910/DVN/IYNGEV",
    files=(
        RemoteFile(name="nodes.parquet", url=None, dataverse=_DOI),
        RemoteFile(name="edges.parquet", url=None, dataverse=_DOI),
    ),
    nodes=190_531,
    edges=21_813_816,
)
