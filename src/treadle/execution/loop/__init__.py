"""The loop of a run: it joins the scheduler, which decides, to an executor, which runs."""
