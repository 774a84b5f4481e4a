"""Groups of drugs and of diseases with like vectors, and what each shares."""

import dagster as dg

from rxweave.cluster.clusters import TooFewNodesError, cluster_nodes
from rxweave.cluster.write import remove_clusters, write_clusters
from rxweave.orchestration.defs.embed import hgt_embeddings
from rxweave.orchestration.folder import OUTPUT, REPORTING
from rxweave.orchestration.metadata import frame_table, of_file
from rxweave.orchestration.project import Project
from rxweave.orchestration.steps import Context, Made, folder_of, settings_of
from rxweave.orchestration.watch import LogWatch


@dg.asset(group_name="cluster", deps=[hgt_embeddings], kinds={"parquet", "html"})
def drug_clusters(context: dg.AssetExecutionContext, project: Project) -> Made:
    """Groups of drugs, how stable they are, what they share, and an offline map."""
    return _clusters(context, project, "drug")


@dg.asset(group_name="cluster", deps=[hgt_embeddings], kinds={"parquet", "html"})
def disease_clusters(context: dg.AssetExecutionContext, project: Project) -> Made:
    """Groups of diseases, how stable they are, what they share, and an offline map."""
    return _clusters(context, project, "disease")


def _clusters(context: Context, project: Project, role: str) -> Made:
    folder, watch = folder_of(context, project), LogWatch(context.log)
    run = folder.read_run()
    node_type = getattr(run.training.roles, role)
    settings = settings_of(context, project).cluster
    try:
        found = cluster_nodes(
            run.embeddings, run.training, node_type, run.seed, settings=settings, progress=watch.progress
        )
    except TooFewNodesError as few:  # a sample of a graph: nothing is wrong with the run
        remove_clusters(node_type, folder.root / OUTPUT, folder.root / REPORTING)
        watch.warning(str(few))
        return dg.MaterializeResult(metadata={"clusters": 0, "cautions": str(few)})
    title = f"{run.training.name}: clusters of {node_type}"
    written = write_clusters(found, folder.root / OUTPUT, folder.root / REPORTING, title=title)
    for caution in found.cautions:
        watch.warning(caution)
    chosen = found.stability.chosen
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found.nodes),
            "clusters": len(found.clusters),
            "clustered_nodes": found.num_clustered,
            "resolution": chosen.resolution,
            "stability_ari": chosen.stability,
            "stability_of_shuffled_dimensions": found.stability.control,
            "groups": frame_table(found.clusters.select("cluster", "name", "size", "stability", "medoid_name")),
            "cautions": " ".join(found.cautions) or "none",
            "page": of_file(written.page),
        }
    )
