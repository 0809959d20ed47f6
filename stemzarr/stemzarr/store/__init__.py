"""Stores: a source to Zarr v3 and back."""

from __future__ import annotations

from stemzarr.store.facts import Change
from stemzarr.store.format.plan import StorePlan, plan_store
from stemzarr.store.ingest.journal import remove_unfinished
from stemzarr.store.ingest.origin import recorded_digest
from stemzarr.store.ingest.sample import expected_bytes
from stemzarr.store.ingest.write import StoreResult, write_store
from stemzarr.store.open import open_previews, read_record, read_store
from stemzarr.store.results import check_no_results, find_added, renew_listing
from stemzarr.store.upkeep.compare import is_source_of
from stemzarr.store.upkeep.measure import add_measures
from stemzarr.store.upkeep.publishing import Publication, publish_store
from stemzarr.store.upkeep.rebuild import RebuildResult, rebuild
from stemzarr.store.upkeep.redacting import Redaction, find_names, redact_store
from stemzarr.store.upkeep.restore import restore_metadata
from stemzarr.store.upkeep.revise import revise, undo_revision
from stemzarr.store.upkeep.verify import VerifyReport, verify_store

__all__ = [
    "Change",
    "Publication",
    "RebuildResult",
    "Redaction",
    "StorePlan",
    "StoreResult",
    "VerifyReport",
    "add_measures",
    "check_no_results",
    "expected_bytes",
    "find_added",
    "find_names",
    "is_source_of",
    "open_previews",
    "plan_store",
    "publish_store",
    "read_record",
    "read_store",
    "rebuild",
    "recorded_digest",
    "redact_store",
    "remove_unfinished",
    "renew_listing",
    "restore_metadata",
    "revise",
    "undo_revision",
    "verify_store",
    "write_store",
]
