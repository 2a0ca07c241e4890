from __future__ import annotations

from sqlalchemy import PrimaryKeyConstraint, Table, UniqueConstraint

from saft_core.store.models import Model


def indexed(table: Table) -> list[list[str]]:
    """The columns of each index, those behind keys and unique constraints too."""
    keys = [item for item in table.constraints if isinstance(item, PrimaryKeyConstraint | UniqueConstraint)]
    indexes = [index for index in table.indexes if index.dialect_options["postgresql"]["where"] is None]
    return [[column.name for column in item.columns] for item in (*keys, *indexes)]


def test_a_deletion_finds_what_refers_to_the_row_by_an_index() -> None:
    """Without one, deleting a row reads every table that refers to its own from end to end."""
    found = [
        (table.name, key.column_keys)
        for table in Model.metadata.sorted_tables
        for key in table.foreign_key_constraints
        if not any(columns[: len(key.column_keys)] == key.column_keys for columns in indexed(table))
    ]
    assert found == []
