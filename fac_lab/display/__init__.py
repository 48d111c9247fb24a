"""What people look at: tables, figures, the report, and the notebooks that show them."""
