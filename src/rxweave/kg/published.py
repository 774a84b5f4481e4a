"""What the makers of a graph say is in it, to hold a loaded graph against.

PrimeKG: Chandak, Huang and Zitnik 2023. Hetionet v1.0: Himmelstein et al. 2017. DRKG: its own description (Ioannidis
et al. 2020), OptimusKG: its documentation (Vittor et al. 2026); of both only the nodes, since no count per relation is
stated that could be compared with facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Published:
    """Node counts by type and fact counts by relation name; a relation that is not named was not published."""

    nodes: dict[str, int]
    facts: dict[str, int] = field(default_factory=dict)


PRIMEKG_ROWS = {
    "anatomy_anatomy": 28064,
    "anatomy_protein_absent": 39774,
    "anatomy_protein_present": 3036406,
    "bioprocess_bioprocess": 105772,
    "bioprocess_protein": 289610,
    "cellcomp_cellcomp": 9690,
    "cellcomp_protein": 166804,
    "contraindication": 61350,
    "disease_disease": 64388,
    "disease_phenotype_negative": 2386,
    "disease_phenotype_positive": 300634,
    "disease_protein": 160822,
    "drug_drug": 2672628,
    "drug_effect": 129568,
    "drug_protein": 51306,
    "exposure_bioprocess": 3250,
    "exposure_cellcomp": 20,
    "exposure_disease": 4608,
    "exposure_exposure": 4140,
    "exposure_molfunc": 90,
    "exposure_protein": 2424,
    "indication": 18776,
    "molfunc_molfunc": 27148,
    "molfunc_protein": 139060,
    "off-label use": 5136,
    "pathway_pathway": 5070,
    "pathway_protein": 85292,
    "phenotype_phenotype": 37472,
    "phenotype_protein": 6660,
    "protein_protein": 642150,
}
"""Rows of kg.csv, each fact in both directions. exposure_cellcomp: 20 and not the published 74, since only then do the
relations sum to the 8,100,498 rows."""

PUBLISHED = {
    "primekg": Published(
        nodes={
            "anatomy": 14035,
            "biological_process": 28642,
            "cellular_component": 4176,
            "disease": 17080,
            "drug": 7957,
            "effect/phenotype": 15311,
            "exposure": 818,
            "gene/protein": 27671,
            "molecular_function": 11169,
            "pathway": 2516,
        },
        facts={name: rows // 2 for name, rows in PRIMEKG_ROWS.items()},
    ),
    "hetionet": Published(
        nodes={
            "Anatomy": 402,
            "Biological Process": 11381,
            "Cellular Component": 1391,
            "Compound": 1552,
            "Disease": 137,
            "Gene": 20945,
            "Molecular Function": 2884,
            "Pathway": 1822,
            "Pharmacologic Class": 345,
            "Side Effect": 5734,
            "Symptom": 438,
        },
        facts={
            "AdG": 102240,
            "AeG": 526407,
            "AuG": 97848,
            "CbG": 11571,
            "CcSE": 138944,
            "CdG": 21102,
            "CpD": 390,
            "CrC": 6486,
            "CtD": 755,
            "CuG": 18756,
            "DaG": 12623,
            "DdG": 7623,
            "DlA": 3602,
            "DpS": 3357,
            "DrD": 543,
            "DuG": 7731,
            "GcG": 61690,
            "GiG": 147164,
            "GpBP": 559504,
            "GpCC": 73566,
            "GpMF": 97222,
            "GpPW": 84372,
            "Gr>G": 265672,
            "PCiC": 1029,
        },
    ),
    "drkg": Published(
        nodes={
            "Anatomy": 400,
            "Atc": 4048,
            "Biological Process": 11381,
            "Cellular Component": 1391,
            "Compound": 24313,
            "Disease": 5103,
            "Gene": 39220,
            "Molecular Function": 2884,
            "Pathway": 1822,
            "Pharmacologic Class": 345,
            "Side Effect": 5701,
            "Symptom": 415,
            "Tax": 215,
        },
    ),
    "optimuskg": Published(
        nodes={
            "Anatomy": 13120,
            "Biological Process": 25754,
            "Cellular Component": 4052,
            "Disease": 36345,
            "Drug": 16766,
            "Exposure": 881,
            "Gene": 61306,
            "Molecular Function": 10161,
            "Pathway": 2805,
            "Phenotype": 19341,
        },
    ),
}
"""By the name that a loaded graph has."""
