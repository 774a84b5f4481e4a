"""What DRKG's relation names mean (Ioannidis et al. 2020), which its file of triples does not say.

Names are `source::relation::Type:Type`. Treatments are those that people curated; GNBR's `T` was read out of abstracts
by a program. Relations taken from Hetionet have its meaning: `GiG` has no direction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rxweave.kg.types import RoleChoice

TREATS = ("DRUGBANK::treats::Compound:Disease", "Hetionet::CtD::Compound:Disease")
FROM_TEXTS = "GNBR::T::Compound:Disease"
SYMMETRIC = frozenset(
    {
        "Hetionet::CrC::Compound:Compound",
        "Hetionet::DrD::Disease:Disease",
        "Hetionet::GcG::Gene:Gene",
        "Hetionet::GiG::Gene:Gene",
    }
)


def with_treatments(choice: RoleChoice, relations: Iterable[str]) -> tuple[RoleChoice, list[str]]:
    """Give the choice with DRKG's treatments where it has none and the graph has those; notes say what is left out."""
    names = set(relations)
    treats = tuple(name for name in TREATS if name in names)
    if choice.treats is not None or not treats:
        return choice, []
    left_out = [f"{FROM_TEXTS} is not counted as treatment: it was read out of texts. Name it with treats to count it."]
    return replace(choice, treats=treats), left_out if FROM_TEXTS in names else []
