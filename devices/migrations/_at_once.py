"""An operation for migrations that make many tables; every room may use it."""

from django.db.migrations.operations.base import Operation


class AtOnce(Operation):
    """Operations of which none needs the state between two others, such as the CreateModel of a whole room.

    After each operation Django renders all models anew that hang together, which is most of what migrating an empty database
    costs. After these it renders once.
    """

    reversible = False

    def __init__(self, *operations):
        self.operations = operations

    def state_forwards(self, app_label, state):
        if "apps" in state.__dict__:  # what is not rendered is not kept up to date
            del state.apps
        for operation in self.operations:
            operation.state_forwards(app_label, state)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        for operation in self.operations:
            operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self):
        return "; ".join(operation.describe() for operation in self.operations)
