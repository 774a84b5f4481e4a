"""Nodes as Biolink names them: a CURIE where the source allows one, and a category."""

from __future__ import annotations

import re
from collections import Counter

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.tables import Roles

PREFIXES = {
    "drugbank": "DRUGBANK",
    "ncbi": "NCBIGene",
    "mondo": "MONDO",
    "hpo": "HP",
    "go": "GO",
    "uberon": "UBERON",
    "reactome": "REACT",
    "ctd": "MESH",
}
"""Biolink's prefixes of the sources that PrimeKG names."""
PADDED = {"MONDO", "HP", "GO", "UBERON"}
"""Ontologies whose local ids have seven digits."""

PATTERNS = (
    (r"DB\d{5}", "DRUGBANK"),
    (r"C\d{7}", "UMLS"),
    (r"D\d{6,9}", "MESH"),
    (r"R-[A-Z]{3}-\d+", "REACT"),
    (r"ENSG\d{11}", "ENSEMBL"),
)
"""What a bare id looks like, where its source does not say."""

CATEGORIES = {
    "drug": "Drug",
    "compound": "Drug",
    "disease": "Disease",
    "gene": "Gene",
    "gene/protein": "Gene",
    "protein": "Protein",
    "anatomy": "AnatomicalEntity",
    "pathway": "Pathway",
    "biological process": "BiologicalProcess",
    "molecular function": "MolecularActivity",
    "cellular component": "CellularComponent",
    "effect/phenotype": "PhenotypicFeature",
    "phenotype": "PhenotypicFeature",
    "side effect": "PhenotypicFeature",
    "symptom": "PhenotypicFeature",
    "exposure": "EnvironmentalExposure",
}
"""Biolink categories of the node types of public graphs; a type in CamelCase is taken as a category itself."""


def category(node_type: str, roles: Roles) -> str:
    """Give a Biolink category, `biolink:NamedThing` for a type that is not known."""
    parts = {roles.disease: "Disease", roles.drug: "Drug", roles.gene: "Gene"}
    known = CATEGORIES.get(re.sub(r"[\s_]+", " ", node_type.strip().lower()))
    if known is None and re.fullmatch(r"([A-Z][a-z]+){2,}", node_type):
        known = node_type
    return f"biolink:{known or parts.get(node_type, 'NamedThing')}"


def curies(nodes: pl.DataFrame, roles: Roles) -> pl.Series:
    """Give a CURIE for each node: Biolink's prefix where the source is known, else the source's own name.

    Raises InputError when two nodes would get the same one.
    """
    columns = nodes.select("node_key", "node_id", "node_type", pl.col("node_source").fill_null("rxweave"))
    found = [_curie(key, node_id, node_type, source, roles) for key, node_id, node_type, source in columns.iter_rows()]
    # Where ids of two types are equal, the keys tell them apart.
    times = Counter(found)
    keyed = [f"rxweave:{_local(key)}" for key in nodes["node_key"]]
    found = [own if times[curie] > 1 else curie for curie, own in zip(found, keyed, strict=True)]
    again = next((curie for curie, count in Counter(found).items() if count > 1), None)
    if again is not None:
        raise InputError(f"Two nodes would have the CURIE {again!r}: their keys differ by blanks or bars alone.")
    return pl.Series("curie", found, dtype=pl.String)


def _curie(key: str, node_id: str, node_type: str, source: str, roles: Roles) -> str:
    bare = key.split("|", 2)[2] if key.count("|") >= 2 else node_id
    if re.fullmatch(r"[A-Za-z][\w.]*:\S+", bare):
        return bare
    if re.fullmatch(r"[A-Za-z][\w.]*:\S+", node_id) and "::" not in node_id:
        return node_id
    prefix = PREFIXES.get(source.lower())
    if prefix is not None and (prefix not in PADDED or bare.isdigit()):
        return f"{prefix}:{bare.zfill(7) if prefix in PADDED else _local(bare)}"
    for pattern, known in PATTERNS:
        if re.fullmatch(pattern, bare):
            return f"{known}:{bare}"
    if node_type == roles.gene and bare.isdigit() and source == "Hetionet":
        return f"NCBIGene:{bare}"
    return f"{re.sub(r'[^A-Za-z0-9_.]+', '_', source)}:{_local(bare)}"


def _local(text: str) -> str:
    """Neither blanks nor bars, which part values in KGX."""
    return re.sub(r"\s+", "_", text).replace("|", ".")
