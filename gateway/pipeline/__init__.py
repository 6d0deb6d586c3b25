"""The way of a message: receive, project, route, deliver; and the errands and pulls that feed it."""
