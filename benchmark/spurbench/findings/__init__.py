"""What was discovered, for people and machines: a report, a contact sheet, a page."""
