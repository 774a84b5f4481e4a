"""Hetionet v1.0. The size and SHA-256 of the edge list are those of its own repository's large-file pointer."""

from rxweave.kg.catalogue.source import RemoteFile, Source

_TSV = "https://github.com/hetio/hetionet/raw/main/hetnet/tsv"

SOURCE = Source(
    name="hetionet",
    title="Hetionet v1.0: compounds, diseases, genes and eight other kinds of 29 resources",
    homepage="https://github.com/hetio/hetionet",
    licence="CC0 for its own content; its resources keep their own terms, some of them non-commercial",
    citation="Himmelstein et al. Systematic integration of biomedical knowledge prioritizes drugs for repurposing. "
    "eLife 6, e26726 (2017). doi:10.7554/eLife.26726",
    files=(
        RemoteFile(name="hetionet-v1.0-nodes.tsv", url=f"{_TSV}/hetionet-v1.0-nodes.tsv"),
        RemoteFile(
            name="hetionet-v1.0-edges.sif.gz",
            url=f"{_TSV}/hetionet-v1.0-edges.sif.gz",
            size=12_401_407,
            sha256="611f0411ac666be4e0270e54bbca67407e14720bfc3099311f0f5eec25c5a947",
        ),
    ),
    nodes=47_031,
    edges=2_250_197,
)
