"""A database of an earlier version finds its way: what the squashed migrations replace was applied there, and nothing else of ours."""

from unittest import mock

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from portal import checks

BEFORE_THE_SQUASH = {("portal", "0002_alarms")}  # was there under its own name


def test_a_database_from_before_the_squash_gets_what_came_since() -> None:
    disk = MigrationLoader(None, load=False)
    disk.load_disk()
    replaced = {key for migration in disk.disk_migrations.values() for key in migration.replaces}
    ours = {"portal", "devices", "skill", "notifications"}
    theirs = {key for key in disk.disk_migrations if key[0] not in ours}
    applied = dict.fromkeys(replaced | BEFORE_THE_SQUASH | theirs)
    with (
        mock.patch.object(MigrationRecorder, "applied_migrations", return_value=applied),
        mock.patch.object(MigrationRecorder, "has_table", return_value=True),
    ):
        executor = MigrationExecutor(connection)
        executor.loader.check_consistent_history(connection)
        assert checks.database_is_not_between_versions(None, ["default"]) == []
        plan = [(step.app_label, step.name) for step, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    since = {key for key, migration in disk.disk_migrations.items() if key[0] in ours and not migration.replaces}
    assert set(plan) == since - BEFORE_THE_SQUASH
    assert ("notifications", "0016_in_the_order_of_arrival") in plan


@pytest.mark.django_db
def test_a_database_of_today_has_nothing_to_do() -> None:
    executor = MigrationExecutor(connection)
    assert executor.migration_plan(executor.loader.graph.leaf_nodes()) == []
