"""A known graph that is not there yet is downloaded; what the network does is tried again, nothing else is."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from rxweave.kg.catalogue import source_named, source_names
from rxweave.kg.catalogue.source import cache_folder
from rxweave.kg.download import DownloadError
from rxweave.kg.fetch_source import fetch_source

RETRIES, WAIT_SECONDS = 3, 60


def ensure_downloaded(kg: str, log: dg.DagsterLogManager) -> None:
    """Download a source of the catalogue, unless it is there, or `kg` is anything else.

    Raises dagster's RetryRequested when its server cannot be had or sends what it should not: the step is tried three
    times more, a minute apart, and goes on where the download stopped.
    """
    if kg not in source_names() or Path(kg).exists():
        return
    source = source_named(kg)
    if source.found() is not None:
        return
    log.info(f"Downloading {source.title}. Licence: {source.licence}. Cite: {source.citation}")
    try:
        for each in fetch_source(source, cache_folder() / kg, note=log.info):
            log.info(f"{each.path}: SHA-256 {each.sha256}, checked against {each.checked}")
    except DownloadError as error:
        log.warning(f"{error} Tried again in {WAIT_SECONDS} s, at most {RETRIES} times.")
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=WAIT_SECONDS) from error
