"""An adapter with its base in the forms that the field's tools load."""
