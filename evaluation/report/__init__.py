"""What the protocols found, as Markdown, CSV, SVG and a contact sheet, with intervals and the paper's own figures."""
