"""Every code that a refusal of the partner API may carry: its status, when it comes, and what to do. The documentation page lists them."""

from collections.abc import Mapping

import msgspec


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """``when`` and ``then`` are a sentence each."""

    status: int
    when: str
    then: str


def _code(status: int, when: str, then: str) -> Code:
    return Code(status=status, when=when, then=then)


CODES: Mapping[str, Code] = {
    "client.none": _code(401, "No bearer token or API key came with the request.", "Send `authorization: Bearer …`; `POST /oauth/token` gives one."),
    "client.unknown": _code(401, "The token ran out, was altered, or its client was changed or ended; or no client has this key.", "Ask `POST /oauth/token` for a new token; if that fails too, ask the gateway's operator."),
    "client.guesses": _code(429, "Too many unknown tokens or keys came from your address.", "Wait as long as `retry-after` says, and use the key you were given; a right one is taken at any time."),
    "client.scope": _code(403, "The token lacks the scope that this operation names.", "Ask for a token with that scope, or ask the operator to give it to your client."),
    "client.overreach": _code(403, "The endpoint would be sent, or is sent, more than your client may see itself, or lies outside of its units.", "Ask for less, or ask the operator to widen the client."),
    "client.pace": _code(429, "More requests than your client's pace.", "Wait as long as `retry-after` says."),
    "request.invalid": _code(400, "A parameter or the body is not as described; `errors` or `place` name what.", "Mend it; the same request will be refused again."),
    "request.cursor": _code(400, "`after` is no cursor of this list.", "Take `next` of the page before, unchanged, with the same conditions."),
    "request.cursor_gone": _code(410, "What stands behind `after` is kept no longer: going on would pass over it in silence.", "Read what you missed from the lists by `updated_since`, and begin again without `after`."),
    "request.idempotency_key": _code(422, "The key was used for another request, or when your client might do or see something else; 400 when it is empty or longer than 255 characters.", "Use a fresh key for each thing you want done."),
    "request.under_way": _code(409, "The first request with this idempotency key has not been answered yet.", "Repeat it in a second; it is done once."),
    "request.if_match": _code(428, "A change came without `if-match`.", "Read the resource and send its `etag`."),
    "request.changed": _code(412, "Somebody changed it since you read it.", "Read it again and make your change on that."),
    "request.not_found": _code(404, "There is no such thing, or it lies outside of your client's units.", "Check the id; ids are those that lists answer with."),
    "request.method_not_allowed": _code(405, "The path does not know this method.", "`allow` names those it knows."),
    "request.cut_off": _code(408, "The body did not come to its end in time: nothing of it was taken.", "Send all of it again."),
    "request.request_entity_too_large": _code(413, "The body is larger than this operation takes.", "Send less at once; bring many records in as an import."),
    "request.unsupported_media_type": _code(415, "The body is not of a type that this operation reads.", "Send `content-type: application/json`."),
    "endpoint.invalid": _code(400, "The settings of the endpoint do not fit together; `place` names the field.", "`remedy` says what would fit."),
    "endpoint.taken": _code(409, "An endpoint of this name is there already.", "Choose another name."),
    "endpoint.of_config": _code(409, "The endpoint stands in the gateway's config, which the API does not change.", "Ask the operator, or make an endpoint of your own."),
    "endpoint.silent": _code(409, "The endpoint is paused or disabled: nothing is handed over.", "Resume or enable it."),
    "endpoint.not_possible": _code(409, "This kind of endpoint cannot be asked for that, or its secret stands in the config.", "`remedy` says what to do."),
    "import.account": _code(403, "The account is not one that your client may bring records into, or takes none.", "`remedy` names those it may; the operator gives others."),
    "import.unreadable": _code(400, "The body cannot be taken apart into rows; 413 for too many, 415 for a format that is none.", "`detail` says why."),
    "action.account": _code(403, "The account is not one that your client may act through, lies outside of its units, or is disabled for now.", "`remedy` names those it may; the operator gives others."),
    "action.invalid": _code(422, "The account does not offer the action, or what it was asked with does not fit; `place` names the member.", "Mend it; each action has a schema of its own, such as `WecomTagParameters`."),
    "action.customer": _code(422, "The customer is not there, lies outside of your client's units, or is not known to the account's partner.", "Look the customer's identities up; another account may know them."),
    "action.too_many": _code(429, "Ten thousand actions of your client are not at their end.", "Wait until some are, or cancel those that nobody needs."),
    "action.not_waiting": _code(409, "The action was begun, or is at its end.", "Read how it stands."),
    "lookup.pace": _code(429, "Your client sees contact data masked and looks people up by phone or e-mail too often: by trying numbers out a mask could be undone.", "Wait as long as `retry-after` says, or ask the operator for contact data in the clear."),
    "lookup.withheld": _code(403, "Contact data is withheld from your client, and so is finding people by it.", "Look up by a system's own number, or ask the operator for a grant."),
    "job.too_many": _code(429, "Your client has too many jobs that are not at their end, or made too many exports within a day.", "Wait for them, or cancel those that nobody needs."),
    "export.not_done": _code(409, "The export is still being made, or failed.", "Follow its job."),
    "export.gone": _code(410, "What the export made was kept for a day.", "Ask for it again."),
    "export.grants_changed": _code(409, "What your client may see has changed since it asked.", "Ask for it again, under the grants of now."),
    "replay.too_many": _code(422, "Counting the events alone takes too long.", "Narrow it by `since` and `until`."),
    "match.settled": _code(409, "The pair or the merge is settled already, or one of the two customers is none of their own any more.", "Read it again; there may be nothing left to do."),
    "store.stale": _code(409, "Somebody else changed the same thing at the same moment.", "Read it again and repeat."),
    "config.invalid": _code(400, "What was asked for cannot be used.", "`place` and `remedy` say what to change."),
    "payload.malformed": _code(400, "What was sent cannot be read.", "`place` says where."),
    "payload.value": _code(400, "One value cannot be read.", "`place` says which."),
    "store.unavailable": _code(503, "The gateway's store cannot be reached for the moment.", "Send it again as `retry-after` says."),
    "vault.tampered": _code(409, "A sealed value of what you asked for was altered since it was written, so that it cannot be read. In lists such a thing is shown without anything sealed.", "The operators have been told; ask again once the source has sent it anew."),
    "gateway.fault": _code(500, "A fault of the gateway.", "Tell the operator the `request` id; the log has it."),
}  # fmt: skip
"""By code. A test finds every code in the source here, and nothing here that is not in the source."""
