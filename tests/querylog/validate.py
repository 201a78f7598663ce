"""Holds every line of a log against a JSON schema. Usage: validate.py SCHEMA LOG. Prints how many lines there were, or what is wrong with the first."""

import json
import sys

import jsonschema

with open(sys.argv[1]) as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
with open(sys.argv[2]) as file:
    lines = file.read().splitlines()
for number, line in enumerate(lines, 1):
    for error in validator.iter_errors(json.loads(line)):
        sys.exit(f"line {number}, {error.json_path}: {error.message}\n{line}")
print(len(lines))
