"""Which drug–disease pairs the model may learn from, and which are held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from rxweave.artifacts import atomic_path
from rxweave.errors import ConfigError, InputError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs as Pairs
from rxweave.graph.pairs import check_pairs, fact_pairs, pair_codes, pair_identities, pair_keys

PARTS = ("train", "valid", "test")
REMOVED_COLUMNS = ("source_key", "relation", "target_key", "part", "reason")

HELD_OUT_TREATMENT = "held-out treatment"
OTHER_RELATION = "other drug–disease relation of a held-out pair"
TWIN = "drug–disease fact of nodes with the same names as a held-out pair"


@dataclass(frozen=True)
class Split:
    """The treatment pairs by part, and every fact that had to leave the graph, with the reason."""

    train: Pairs
    valid: Pairs
    test: Pairs
    removed: pl.DataFrame
    """`source_key, relation, target_key, part, reason`, a row for each fact that left the training graph."""

    @property
    def held_out(self) -> Pairs:
        return np.concatenate([self.valid, self.test])

    @property
    def known(self) -> Pairs:
        """Every pair of the split: what a filtered rank leaves out of the candidates."""
        return np.concatenate([self.train, self.valid, self.test])


def random_split(graph: Graph, *, valid_fraction: float = 0.15, test_fraction: float = 0.2, seed: int) -> Split:
    """Give a random split of the distinct treatment pairs of a graph; one seed always gives one split.

    Pairs that are one drug and one disease under several node keys (see `pairs.identities`) go to one part.
    The fractions lie in (0, 1) and leave something for training. Raises ConfigError when they do not or when
    a part would be empty, InputError when the graph has no treatments.
    """
    if not (0 < valid_fraction < 1 and 0 < test_fraction < 1 and valid_fraction + test_fraction < 1):
        raise ConfigError(
            f"valid_fraction {valid_fraction} and test_fraction {test_fraction} must each lie between 0 and "
            "1, and their sum below 1, so that a share is left for training."
        )
    pairs = treatment_pairs(graph)
    groups, group = np.unique(pair_identities(graph, pairs), return_inverse=True)
    num_valid, num_test = round(valid_fraction * len(groups)), round(test_fraction * len(groups))
    num_train = len(groups) - num_valid - num_test
    if min(num_train, num_valid, num_test) < 1:
        raise ConfigError(
            f"{len(groups)} treatment pairs of {graph.name} at valid_fraction {valid_fraction} and "
            f"test_fraction {test_fraction} give {num_train} train, {num_valid} valid and {num_test} test "
            "pairs; each part needs at least one. Change the fractions, or use a graph with more treatments."
        )
    part = np.repeat(np.arange(3), [num_train, num_valid, num_test])
    part = np.random.default_rng(seed).permutation(part)[group]
    return split_of_pairs(graph, train=pairs[part == 0], valid=pairs[part == 1], test=pairs[part == 2])


def treatment_pairs(graph: Graph) -> Pairs:
    """Give the distinct treatment pairs of a graph, sorted; raises InputError when it has none."""
    pairs = graph.pairs(graph.roles.treats)
    if len(pairs):
        return pairs
    joining = [(graph.relations[r], graph.facts[r].shape[1]) for r in graph.drug_disease_relations()]
    there = ", ".join(f"{relation} ({count} facts)" for relation, count in joining)
    names = [relation.name for relation, _ in joining]
    wanted = " or ".join(map(repr, graph.roles.treats))
    hint = "".join(did_you_mean(name, names) for name in graph.roles.treats if name not in names)
    raise InputError(
        f"{graph.name} has no treatments: no facts of {wanted or 'any relation'} between "
        f"{graph.roles.drug!r} and {graph.roles.disease!r}. Relations that join the two: {there or 'none'}."
        f"{hint} Set the target relations to those that mean 'treats'."
    )


def split_of_pairs(graph: Graph, *, train: Pairs, valid: Pairs, test: Pairs) -> Split:
    """Give the split with these parts, each sorted and without repeats, and the facts that must leave.

    A held-out (valid or test) pair loses every drug–disease fact between its two nodes, whatever the relation
    and its direction; so does every pair of nodes that is the same drug and disease under other keys.
    """
    train, valid, test = (np.unique(check_pairs(graph, part), axis=0) for part in (train, valid, test))
    num_diseases = graph.num_of(graph.roles.disease)
    keys = graph.nodes["node_key"]
    removed = [pl.DataFrame(schema=dict.fromkeys(REMOVED_COLUMNS, pl.String))]
    for r in graph.drug_disease_relations():
        relation = graph.relations[r]
        fact_pair = fact_pairs(graph, r)
        code, identity = pair_codes(fact_pair, num_diseases), pair_identities(graph, fact_pair)
        own = HELD_OUT_TREATMENT if relation.name in graph.roles.treats else OTHER_RELATION
        free = np.ones(len(code), bool)
        for part, pairs in (("valid", valid), ("test", test)):
            same = free & np.isin(code, pair_codes(pairs, num_diseases))
            twin = free & ~same & np.isin(identity, pair_identities(graph, pairs))
            free &= ~(same | twin)
            for hit, reason in ((same, own), (twin, TWIN)):
                source, target = graph.facts[r][:, hit]
                ends = pl.DataFrame({"source_key": keys.gather(source), "target_key": keys.gather(target)})
                why = {"relation": relation.name, "part": part, "reason": reason}
                removed.append(ends.with_columns(**{c: pl.lit(w) for c, w in why.items()}).select(REMOVED_COLUMNS))
    return Split(train, valid, test, pl.concat(removed).sort(REMOVED_COLUMNS))


def training_graph(graph: Graph, split: Split) -> Graph:
    """Give the graph without the facts that `split.removed` lists; every node and every other fact stays.

    Raises InputError when a listed fact names a node that the graph does not have.
    """
    rows = pl.int_range(graph.num_nodes, dtype=pl.Int64)
    sources = graph.nodes.select(rows.alias("source"), pl.col("node_key").alias("source_key"))
    targets = graph.nodes.select(rows.alias("target"), pl.col("node_key").alias("target_key"))
    removed = split.removed.join(sources, on="source_key", how="left").join(targets, on="target_key", how="left")
    lost = removed.filter(pl.col("source").is_null() | pl.col("target").is_null())
    if len(lost):
        row = lost.row(0, named=True)
        raise InputError(
            f"{len(lost)} facts that the split takes out name nodes that are not in {graph.name}, first "
            f"{row['source_key']} –{row['relation']}→ {row['target_key']}. Make the split again from it."
        )
    keep: dict[int, Bool[np.ndarray, " _"]] = {}
    for (name,), facts in removed.partition_by("relation", as_dict=True).items():
        leaving = facts["source"].to_numpy() * graph.num_nodes + facts["target"].to_numpy()
        for r, relation in enumerate(graph.relations):
            if relation.name == name:
                source, target = graph.facts[r]
                keep[r] = ~np.isin(source * graph.num_nodes + target, leaving)
    return graph.keep_facts(keep)


def write_split(split: Split, graph: Graph, path: Path) -> None:
    """Write a split as two Parquet files: the pairs at `path`, the removed facts at `removed_path(path)`.

    The pairs are `drug_key, disease_key, part`, the facts `source_key, relation, target_key, part, reason`.
    The pairs are written last and carry the checksum of the facts, so that a run killed half-way cannot leave
    two files of different splits unnoticed.
    """
    pairs = pl.concat(pair_keys(graph, getattr(split, part)).with_columns(pl.lit(part).alias("part")) for part in PARTS)
    with atomic_path(removed_path(path)) as temporary:
        split.removed.write_parquet(temporary)
    checksum = _sha256(removed_path(path))
    with atomic_path(path) as temporary:
        pairs.write_parquet(temporary, metadata={"graph": graph.name, "removed_sha256": checksum})


def read_split(path: Path, graph: Graph) -> Split:
    """Give the split that `write_split` wrote, numbered as in `graph`: the whole one, not the training graph.

    Raises InputError when a file is missing, is no such table or belongs to another split, and when the pairs
    are not the treatments of the graph.
    """
    facts = removed_path(path)
    pairs = _read_table(path, ("drug_key", "disease_key", "part"))
    removed = _read_table(facts, REMOVED_COLUMNS)
    if pl.read_parquet_metadata(path).get("removed_sha256") != _sha256(facts):
        raise InputError(
            f"{path} and {facts} do not belong together: the checksum that the first keeps of the second is "
            "another. Make the split again."
        )
    unknown = pairs.filter(~pl.col("part").fill_null("").is_in(PARTS))
    if len(unknown):
        raise InputError(
            f"{path}: {len(unknown)} rows have a part other than {', '.join(PARTS)}, first "
            f"{unknown['part'][0]!r} for {unknown['drug_key'][0]} and {unknown['disease_key'][0]}."
        )
    numbered = np.stack(
        [
            _numbers_of(pairs["drug_key"], graph, graph.roles.drug, path),
            _numbers_of(pairs["disease_key"], graph, graph.roles.disease, path),
        ],
        axis=1,
    )
    num_diseases = graph.num_of(graph.roles.disease)
    listed, there = (pair_codes(found, num_diseases) for found in (numbered, treatment_pairs(graph)))
    missing, extra = np.setdiff1d(there, listed), np.setdiff1d(listed, there)
    if len(missing) or len(extra):
        raise InputError(
            f"{path} is not a split of {graph.name}: {len(missing)} treatments of the graph are not in it, "
            f"and {len(extra)} of its pairs are no treatments of the graph. Pass the whole graph that the "
            "split was made from (not its training graph), or make the split again."
        )
    train, valid, test = (np.unique(numbered[(pairs["part"] == part).to_numpy()], axis=0) for part in PARTS)
    return Split(train, valid, test, removed)


def removed_path(path: Path) -> Path:
    """Give the place of the removed facts of a split: `split.parquet` has them in `split.removed.parquet`."""
    return path.with_name(f"{path.stem}.removed{path.suffix}")


def _read_table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"There is no {path}, one of the two files of a split. Make the split first.")
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} is not a Parquet file: {error}. Make the split again.") from error
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise InputError(
            f"{path} has no column {', '.join(absent)}; it has {', '.join(table.columns)}. "
            f"A split has {', '.join(columns)}: make it again."
        )
    return table.select(pl.col(columns).cast(pl.String))


def _numbers_of(keys: pl.Series, graph: Graph, node_type: str, path: Path) -> Int[np.ndarray, " keys"]:
    known = graph.nodes["node_key"][graph.rows_of(node_type)]
    numbers = pl.DataFrame({"key": keys}).join(
        pl.DataFrame({"key": known}).with_row_index("number"), on="key", how="left", maintain_order="left"
    )["number"]
    lost = keys.filter(numbers.is_null())
    if len(lost):
        raise InputError(
            f"{path}: {len(lost)} rows name a {node_type} that is not among the {len(known)} of {graph.name}"
            f", first {lost[0]!r}.{did_you_mean(str(lost[0]), known)} Make the split again from this graph."
        )
    return numbers.to_numpy().astype(np.int64)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
