"""Each step's part of the report: from its dataset to cards and sections. Imported only when a report is made."""
