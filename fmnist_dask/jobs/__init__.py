"""Jobs: detached drivers over run directories. Submit, watch, stop, resume."""
