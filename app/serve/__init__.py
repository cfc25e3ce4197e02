"""The whole product in one process: HTTP, a running worker and the timetable of what has to be done now and then."""
