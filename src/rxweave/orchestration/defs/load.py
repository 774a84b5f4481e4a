"""From a file, a download or the demo to the graph, and what is held out of it."""

import dagster as dg

from rxweave.graph.split import PARTS
from rxweave.graph.split_store import write_split
from rxweave.kg.store import write_kg
from rxweave.orchestration.download import ensure_downloaded
from rxweave.orchestration.folder import GRAPH
from rxweave.orchestration.metadata import frame_table, markdown_table, memory, of_file
from rxweave.orchestration.project import Project
from rxweave.orchestration.steps import Made, folder_of, settings_of
from rxweave.orchestration.watch import LogWatch
from rxweave.pipeline import load, split_checked

GRAPH_FILES = ("nodes.parquet", "edges.parquet", "synonyms.parquet", "ledger.parquet", "load_report.json")
SPLIT_FILES = ("split.parquet", "split.removed.parquet")


@dg.asset(group_name="load", kinds={"polars", "parquet"})
def knowledge_graph(context: dg.AssetExecutionContext, project: Project) -> Made:
    """Nodes and facts of a graph, cleaned, with a report of what happened to every row. Downloads known graphs."""
    settings, folder = settings_of(context, project), folder_of(context, project)
    ensure_downloaded(settings.load.kg, context.log)
    with folder.step("load", settings, LogWatch(context.log), place=GRAPH, files=GRAPH_FILES) as work:
        kg, _ = load(settings)
        work.kg_name, work.inputs = kg.name, kg.report.files
        work.check_free(GRAPH)
        write_kg(kg, work.graph)
    for note in kg.report.notes:
        context.log.info(note)
    report = kg.report
    counted = ("rows_read", "exact_duplicates", "swapped_duplicates", "rejected_rows", "self_loops", "isolated_nodes")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(kg.edges),
            "graph": kg.name,
            "nodes": len(kg.nodes),
            "facts": len(kg.edges),
            "node_types": frame_table(kg.nodes["node_type"].value_counts(sort=True)),
            "relations": frame_table(kg.edges["relation"].value_counts(sort=True)),
            "rows": markdown_table(("rows", "number"), ((name, f"{getattr(report, name):,}") for name in counted)),
            "path": of_file(folder.graph),
            "peak_memory_gb": memory(),
        }
    )


@dg.asset(group_name="split", deps=[knowledge_graph], kinds={"parquet"})
def xgboost_train_test_split(context: dg.AssetExecutionContext, project: Project) -> Made:
    """Treatments to learn from, to validate and to test, and every fact that leaves the graph for them.

    It comes before the embeddings: what is tested must be in nothing that they are trained on.
    """
    settings, folder = settings_of(context, project), folder_of(context, project)
    loaded = folder.settings(GRAPH).but(split=settings.split, seed=settings.seed)
    watch = LogWatch(context.log)
    with folder.step("split", loaded, watch, place=GRAPH, files=SPLIT_FILES, after=GRAPH) as work:
        _, graph = folder.read_graph()
        split, training = split_checked(graph, settings)
        for note in split.notes:
            watch.note(note)
        work.results["split"] = split.notes
        write_split(split, graph, work.graph / "split.parquet")
    removed = split.removed.group_by("relation", "part", "reason").len()
    sizes = {part: len(getattr(split, part)) for part in PARTS}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(sizes.values()),
            **{f"{part}_pairs": number for part, number in sizes.items()},
            "facts_in_training": training.num_facts,
            "facts_removed": len(split.removed),
            "removed": frame_table(removed.sort("len", descending=True)),
            "notes": " ".join(split.notes),
            "path": of_file(folder.graph / "split.parquet"),
        }
    )
