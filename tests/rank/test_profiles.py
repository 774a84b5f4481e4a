from __future__ import annotations

import numpy as np
import pytest
from pair_graphs import BINDS, INTERACTS, LINKED, TREATS, graph_of, random_graph, vectors_of
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics.pairwise import cosine_similarity

from rxweave.config import FeatureSettings
from rxweave.rank.features import pair_features
from rxweave.rank.paths import NO_PATHS, Step, graph_steps, step_matrix
from rxweave.rank.profiles import ALL, profile_similarities


def steps_from(graph: object, node_type: str) -> tuple[Step, ...]:
    joining = set(graph.drug_disease_relations())  # type: ignore[attr-defined]
    return tuple(s for s in graph_steps(graph) if s.source_type == node_type and s.relation not in joining)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_cosines_are_those_of_scikit_learns_tf_idf(seed: int) -> None:
    graph = random_graph(seed, drugs=9, diseases=4, genes=12)
    (step,) = steps_from(graph, "drug")
    known = np.arange(9) % 2 == 0
    like = profile_similarities(graph, "drug", (step,), known)["drug –binds→ gene"]
    counts = step_matrix(graph, step).toarray()
    counts = counts[:, counts.any(axis=0)]
    # scikit-learn's idf is ln(n / df) + 1; its weights less the counts are ours.
    transformed = TfidfTransformer(norm=None, smooth_idf=False).fit(counts)
    expected = cosine_similarity(counts * (transformed.idf_ - 1))
    usable = expected.diagonal() > 0
    np.testing.assert_array_equal(like.usable, usable)
    columns = np.flatnonzero(known & usable)
    np.testing.assert_array_equal(np.flatnonzero(like.column >= 0), columns)
    np.testing.assert_allclose(like.cosine, expected[:, columns], atol=1e-6)


def test_what_every_node_has_tells_none_from_another() -> None:
    graph = graph_of(
        {"drug": 3, "disease": 1, "gene": 2},
        {TREATS: [(0, 0)], BINDS: [(0, 0), (1, 0), (2, 0), (2, 1)]},
    )
    like = profile_similarities(graph, "drug", steps_from(graph, "drug"), np.full(3, True))["drug –binds→ gene"]
    np.testing.assert_array_equal(like.usable, [False, False, True])


def test_relations_weigh_alike_in_the_profile_of_all() -> None:
    """Drug 0 is drug 1 by one relation and drug 2 by another, however many facts each of them has."""
    relation = type(BINDS)("drug", "causes", "effect")
    graph = graph_of(
        {"drug": 4, "disease": 1, "gene": 9, "effect": 2},
        {
            TREATS: [(0, 0)],
            BINDS: [(d, gene) for d in (0, 1) for gene in range(8)] + [(2, 8)],
            relation: [(0, 0), (2, 0), (1, 1)],
        },
    )
    found = profile_similarities(graph, "drug", steps_from(graph, "drug"), np.full(4, True))
    assert list(found) == ["drug –binds→ gene", "drug –causes→ effect", ALL]
    assert found[ALL].cosine[0, 1] == pytest.approx(0.5)
    assert found[ALL].cosine[0, 2] == pytest.approx(0.5)
    assert not found[ALL].usable[3]


def test_a_step_of_another_type_is_refused() -> None:
    graph = random_graph(0)
    with pytest.raises(ValueError, match="leaves drug, not disease"):
        profile_similarities(graph, "disease", steps_from(graph, "drug"), np.full(4, True))


def test_profiles_need_no_embeddings_and_say_whose_they_are() -> None:
    graph = random_graph(3)
    settings = FeatureSettings(groups=("profiles",))
    alone = pair_features(graph, None, NO_PATHS, settings, seed=0)
    assert all(name.startswith("profiles: ") for name in alone.names)
    assert "profiles: drug to the drugs of the disease by drug –binds→ gene, max" in alone.names
    with_vectors = pair_features(graph, vectors_of(graph), NO_PATHS, settings, seed=0)
    np.testing.assert_array_equal(alone.block(np.arange(4)), with_vectors.block(np.arange(4)))
    assert LINKED in graph.relations
    assert INTERACTS in graph.relations
