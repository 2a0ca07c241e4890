"""The JSON that goes in and out, one module a resource. Field names are the contract; OpenAPI is made from here."""
