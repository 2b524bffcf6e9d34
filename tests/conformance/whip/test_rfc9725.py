"""RFC 9725, clause by clause, as a server has to keep it. The number in each name is the clause's."""

import re

import pytest
from support.offers import AUDIO, VIDEO, offer
from support.whip_http import (
    CANDIDATE,
    FRAGMENT,
    SDP,
    UFRAG,
    Endpoint,
    Reply,
    answers_checks,
    check,
    fragment,
    whole,
)

STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]+"')
OTHER_UFRAG, OTHER_PASSWORD = "efgh", "zyxwvutsrqponmlkjihgfedc"
RESTART = fragment(ufrag=OTHER_UFRAG, password=OTHER_PASSWORD)


def refused(reply: Reply) -> bool:
    return 400 <= reply.status < 500


# 4.1 HTTP usage


async def test_4_1_errors_carry_a_problem_statement(endpoint: Endpoint) -> None:
    for reply in (await endpoint.post("v=0\r\n"), await endpoint.post("x", "text/plain")):
        assert refused(reply)
        assert reply.kind == "application/problem+json"


# 4.2 Ingest session setup


async def test_4_2_an_offer_is_answered_201_with_sdp_and_a_location(endpoint: Endpoint) -> None:
    reply = await endpoint.post()
    assert (reply.status, reply.kind) == (201, SDP)
    assert reply.session != endpoint.url
    assert reply.body.startswith("v=0\r\n")


async def test_4_2_the_content_type_may_have_parameters(endpoint: Endpoint) -> None:
    assert (await endpoint.post(kind=f"{SDP}; charset=utf-8")).status == 201


async def test_4_2_the_answer_has_the_offers_sections_and_receives(endpoint: Endpoint) -> None:
    reply = await endpoint.begin(whole(offer(AUDIO, VIDEO)))
    assert [section.split()[0] for section in reply.sections] == ["audio", "video"]
    assert reply.told("mid") == ["0", "1"]
    assert re.findall(r"^a=(recvonly|inactive|sendrecv|sendonly)\r?$", reply.body, re.M).count("recvonly") >= 1
    assert "a=sendonly" not in reply.body
    assert reply.told("ice-ufrag")
    assert reply.told("fingerprint")


async def test_4_2_the_session_is_reachable_by_ice(endpoint: Endpoint) -> None:
    assert await answers_checks(await endpoint.begin())


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
async def test_4_2_another_content_type_is_refused(endpoint: Endpoint, kind: str) -> None:
    assert refused(await endpoint.post(kind=kind))


async def test_4_2_no_content_type_is_refused(endpoint: Endpoint) -> None:
    assert refused(await endpoint.ask("POST", "", "v=0\r\n"))


@pytest.mark.parametrize("text", ["", "hello", "v=0\r\n", "v=0\r\nm=video banana\r\n", "v=0\r\n" + "a=x\r\n" * 3000])
async def test_4_2_malformed_sdp_is_refused(endpoint: Endpoint, text: str) -> None:
    assert refused(await endpoint.post(text))


async def test_4_2_a_session_is_ended_by_delete(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert (await endpoint.ask("DELETE", reply.session)).status == 200
    assert (await endpoint.ask("DELETE", reply.session)).status in (404, 410)


async def test_4_2_a_session_that_has_ended_revokes_its_consent(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert await answers_checks(reply)
    await endpoint.ask("DELETE", reply.session)
    assert not await answers_checks(reply, wait_s=0.5)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
async def test_4_2_other_methods_at_the_endpoint_are_405(endpoint: Endpoint, method: str) -> None:
    assert (await endpoint.ask(method)).status == 405


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
async def test_4_2_other_methods_at_a_session_are_405(endpoint: Endpoint, method: str) -> None:
    reply = await endpoint.begin()
    assert (await endpoint.ask(method, reply.session)).status == 405
    assert await answers_checks(reply), "the session goes on"


async def test_4_2_options_is_200_and_tells_what_may_be_posted(endpoint: Endpoint) -> None:
    reply = await endpoint.ask("OPTIONS", anonymous=True)
    assert reply.status == 200
    assert SDP in reply.headers.get("Accept-Post", "")


@pytest.mark.parametrize("at", ["endpoint", "session"])
async def test_4_2_pages_of_other_origins_may_ask(endpoint: Endpoint, at: str) -> None:
    url, method = ("", "POST") if at == "endpoint" else ((await endpoint.begin()).session, "PATCH")
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": method}
    asked["Access-Control-Request-Headers"] = "authorization,content-type,if-match"
    reply = await endpoint.ask("OPTIONS", url, None, asked, anonymous=True)
    assert reply.status in (200, 204)
    assert reply.headers.get("Access-Control-Allow-Origin") in ("*", "https://example.org")
    assert method in reply.headers.get("Access-Control-Allow-Methods", "")
    allowed = reply.headers.get("Access-Control-Allow-Headers", "").lower()
    assert all(name in allowed for name in ("authorization", "content-type", "if-match"))


async def test_4_2_pages_of_other_origins_may_read_where_the_session_is(endpoint: Endpoint) -> None:
    reply = await endpoint.ask("POST", "", whole(offer(VIDEO)), {"Content-Type": SDP, "Origin": "https://example.org"})
    endpoint._begun.append(reply.session)
    exposed = reply.headers.get("Access-Control-Expose-Headers", "").lower()
    assert reply.headers.get("Access-Control-Allow-Origin") in ("*", "https://example.org")
    assert all(name in exposed for name in ("location", "etag", "link"))


# 4.3 ICE support


async def test_4_3_1_a_change_of_another_content_type_is_refused(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert refused(await endpoint.patch(reply.session, fragment(CANDIDATE), reply.etag, SDP))


async def test_4_3_1_a_malformed_fragment_is_refused_and_the_session_goes_on(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    for text in ("", "hello", "a=candidate:1 1 udp x\r\n", "a=ice-ufrag:only\r\n"):
        assert refused(await endpoint.patch(reply.session, text, reply.etag))
    assert await answers_checks(reply)


async def test_4_3_1_the_first_answer_has_a_strong_etag_of_its_own(endpoint: Endpoint) -> None:
    tags = [(await endpoint.begin()).etag for _ in range(3)]
    assert all(STRONG.fullmatch(tag) for tag in tags)
    assert len(set(tags)) == 3


async def test_4_3_1_a_delete_has_no_use_for_an_etag(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert (await endpoint.ask("DELETE", reply.session, None, {"If-Match": '"another"'})).status == 200


async def test_4_3_2_an_offer_may_come_without_candidates(endpoint: Endpoint) -> None:
    assert "a=candidate" not in whole(offer(VIDEO))
    assert (await endpoint.begin()).told("candidate"), "the answer has to hold all of the server's"


async def test_4_3_2_candidates_are_taken_204_without_a_body_or_etag(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    changed = await endpoint.patch(reply.session, fragment(CANDIDATE, "a=end-of-candidates"), reply.etag)
    assert (changed.status, changed.body, changed.etag) == (204, "", "")


async def test_4_3_2_candidates_may_come_with_the_etag_as_often_as_there_are_any(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    for port in range(6000, 6005):
        row = f"a=candidate:1 1 udp 1 192.0.2.77 {port} typ host"
        assert (await endpoint.patch(reply.session, fragment(row), reply.etag)).status == 204


@pytest.mark.parametrize(
    "row",
    [
        "a=candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "a=candidate:1 1 udp 2122260223 4cd5a2f2-1e4e-4b2c-9e0f-0123456789ab.local 61764 typ host",
        "a=candidate:1 1 udp 2122260223 no-such-host.invalid 61764 typ host",
        "a=candidate:1 1 udp 2122260223 2001:db8::7 61764 typ host generation 0 network-id 1",
        "a=candidate:1 2 udp 2122260223 192.0.2.1 61764 typ host",
        "a=candidate:1 1 xyz 2122260223 192.0.2.1 61764 typ relay raddr 0.0.0.0 rport 0",
    ],
)
async def test_4_3_2_candidates_that_cannot_be_used_are_discarded_silently(endpoint: Endpoint, row: str) -> None:
    reply = await endpoint.begin()
    assert (await endpoint.patch(reply.session, fragment(row), reply.etag)).status == 204
    assert await answers_checks(reply)


async def test_4_3_2_without_if_match_a_change_is_428(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert (await endpoint.patch(reply.session, fragment(CANDIDATE), None)).status == 428


@pytest.mark.parametrize("match", ['"another"', "weak"])
async def test_4_3_2_with_another_etag_a_change_is_412(endpoint: Endpoint, match: str) -> None:
    reply = await endpoint.begin()
    match = f"W/{reply.etag}" if match == "weak" else match
    assert (await endpoint.patch(reply.session, fragment(CANDIDATE), match)).status == 412
    assert await answers_checks(reply)


async def test_4_3_3_an_ice_restart_is_200_with_new_credentials_and_a_new_etag(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    again = await endpoint.patch(reply.session, RESTART, "*")
    assert (again.status, again.kind) == (200, FRAGMENT)
    assert again.told("ice-ufrag")[0] != reply.told("ice-ufrag")[0]
    assert again.told("ice-pwd")[0] != reply.told("ice-pwd")[0]
    assert STRONG.fullmatch(again.etag)
    assert again.etag != reply.etag
    where = again.told("candidate") or reply.told("candidate")
    assert await check(where, again.told("ice-ufrag")[0], again.told("ice-pwd")[0], OTHER_UFRAG)


async def test_4_3_3_after_a_restart_the_old_etag_is_412_and_the_new_one_holds(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    again = await endpoint.patch(reply.session, RESTART, "*")
    later = fragment(CANDIDATE, ufrag=OTHER_UFRAG, password=OTHER_PASSWORD)
    assert (await endpoint.patch(reply.session, fragment(CANDIDATE), reply.etag)).status == 412
    assert (await endpoint.patch(reply.session, later, again.etag)).status == 204


async def test_4_3_3_a_restart_needs_the_asterisk(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert refused(await endpoint.patch(reply.session, RESTART, reply.etag))
    assert (await endpoint.patch(reply.session, RESTART, None)).status == 428
    assert await answers_checks(reply)


async def test_4_3_3_a_restart_that_fails_leaves_the_session_as_it_was(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert await answers_checks(reply)
    for text in ("a=ice-ufrag:x\r\n", "a=ice-pwd:nothing else\r\n", "m=video\r\n"):
        failed = await endpoint.patch(reply.session, text, "*")
        assert 400 <= failed.status < 600
    assert await answers_checks(reply)
    assert (await endpoint.patch(reply.session, fragment(CANDIDATE), reply.etag)).status == 204


async def test_4_3_3_restarts_may_follow_each_other(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    tags = {reply.etag}
    for number in range(3):
        text = fragment(ufrag=f"gen{number}", password=OTHER_PASSWORD)
        again = await endpoint.patch(reply.session, text, "*")
        assert again.status == 200
        tags.add(again.etag)
    assert len(tags) == 4
    where = again.told("candidate") or reply.told("candidate")
    assert await check(where, again.told("ice-ufrag")[0], again.told("ice-pwd")[0], "gen2")


async def test_4_3_3_restarts_whose_answers_are_lost_leave_the_former_ice_session_alive(endpoint: Endpoint) -> None:
    """It is in use until the client has another."""
    reply = await endpoint.begin()
    assert await answers_checks(reply)
    for number in range(2):
        await endpoint.patch(reply.session, fragment(ufrag=f"lost{number}", password=OTHER_PASSWORD), "*")
        assert await answers_checks(reply)


async def test_4_3_3_a_restart_that_is_asked_for_again_is_answered_200_with_credentials(endpoint: Endpoint) -> None:
    """The client may have lost the first answer."""
    reply = await endpoint.begin()
    await endpoint.patch(reply.session, RESTART, "*")
    again = await endpoint.patch(reply.session, RESTART, "*")
    assert (again.status, again.kind) == (200, FRAGMENT)
    where = again.told("candidate") or reply.told("candidate")
    assert await check(where, again.told("ice-ufrag")[0], again.told("ice-pwd")[0], OTHER_UFRAG)
    later = fragment(CANDIDATE, ufrag=OTHER_UFRAG, password=OTHER_PASSWORD)
    assert (await endpoint.patch(reply.session, later, again.etag)).status == 204


# 4.4 WebRTC constraints


async def test_4_4_1_the_answer_bundles_and_multiplexes(endpoint: Endpoint) -> None:
    reply = await endpoint.begin(whole(offer(AUDIO, VIDEO)))
    assert reply.told("group") == ["BUNDLE 0 1"]
    assert reply.body.count("a=rtcp-mux\r\n") == 2


async def test_4_4_2_two_tracks_of_a_kind_are_refused(endpoint: Endpoint) -> None:
    two = whole(offer(VIDEO, VIDEO.replace("a=mid:1", "a=mid:2")))
    assert (await endpoint.post(two)).status in (400, 406, 422)


async def test_4_4_3_what_cannot_be_served_is_refused_as_a_whole(endpoint: Endpoint) -> None:
    unknown = whole(offer(AUDIO, re.sub("VP8|VP9|H264", "NOSUCH", VIDEO)))
    assert (await endpoint.post(unknown)).status in (400, 406, 422)


async def test_4_4_3_a_data_channel_alone_is_refused(endpoint: Endpoint) -> None:
    channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:1\na=sctp-port:5000\n"
    transport = "\n".join(VIDEO.split("\n")[2:6]) + "\na=setup:actpass\n"
    assert (await endpoint.post(whole(offer(channel + transport)))).status in (400, 406, 422)


@pytest.mark.parametrize("setup", ["actpass", "active"])
async def test_4_4_4_who_leaves_it_open_or_begins_is_answered_passive(endpoint: Endpoint, setup: str) -> None:
    reply = await endpoint.post(whole(offer(VIDEO)).replace("setup:actpass", f"setup:{setup}"))
    assert reply.status == 201
    assert set(reply.told("setup")) == {"passive"}


# 4.5 Load balancing and redirections


async def test_4_5_an_offer_is_not_redirected_so_that_it_becomes_a_get(endpoint: Endpoint) -> None:
    assert (await endpoint.post()).status not in (300, 301, 302, 303)


# 4.6 STUN/TURN server configuration


async def test_4_6_ice_servers_are_links(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    for link in (one for one in reply.links if "ice-server" in one):
        assert re.fullmatch(r'<(stun|turn)s?:[^>]+>; ?rel="ice-server"(; ?[a-z-]+="[^"]*")*', link), link
        assert ('credential="' in link) == ('username="' in link)


async def test_4_6_a_browsers_preflight_is_told_no_ice_servers(endpoint: Endpoint) -> None:
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert not (await endpoint.ask("OPTIONS", "", None, asked, anonymous=True)).links


# 4.7 Authentication and authorization


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_4_7_1_without_its_token_nobody_is_served(endpoint: Endpoint, method: str) -> None:
    if not endpoint.token:
        pytest.skip("the endpoint was named without a token")
    reply = await endpoint.begin()
    url, kind = ("", SDP) if method == "POST" else (reply.session, FRAGMENT)
    headers = {"Content-Type": kind, "If-Match": reply.etag}
    for extra in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        got = await endpoint.ask(method, url, fragment(CANDIDATE), {**headers, **extra}, anonymous=True)
        assert got.status == 401
        assert "Bearer" in got.headers.get("WWW-Authenticate", "")
    assert await answers_checks(reply)


async def test_4_7_1_a_preflight_needs_no_token(endpoint: Endpoint) -> None:
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert (await endpoint.ask("OPTIONS", "", None, asked, anonymous=True)).status in (200, 204)


# 4.8 Simulcast and scalable video coding


async def test_4_8_simulcast_is_answered_with_a_part_of_what_was_offered(endpoint: Endpoint) -> None:
    rows = "a=rid:h send\na=rid:m send\na=rid:l send\na=simulcast:send h;m;l\n"
    reply = await endpoint.begin(whole(offer(VIDEO + rows)))
    for told in reply.told("simulcast"):
        direction, _, streams = told.partition(" ")
        assert direction == "recv"
        assert set(re.split("[;,]", streams.replace("~", ""))) <= {"h", "m", "l"}
        rids = [rid.split() for rid in reply.told("rid")]
        assert all(rid[1] == "recv" for rid in rids)


# 4.9 Protocol extensions


async def test_4_9_extensions_are_links_of_their_own(endpoint: Endpoint) -> None:
    for link in (await endpoint.begin()).links:
        assert re.search(r'rel="(ice-server|urn:ietf:params:whip:ext:[^"]+)"', link), link


# 5 Security considerations


async def test_5_sessions_have_names_nobody_guesses(endpoint: Endpoint) -> None:
    names = [(await endpoint.begin()).session.rstrip("/").rpartition("/")[2] for _ in range(4)]
    assert len(set(names)) == 4
    assert all(len(name) >= 16 for name in names)
    assert len({name[-12:] for name in names}) == 4


async def test_5_a_session_is_not_found_by_guessing(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    guess = reply.session[:-4] + "AAAA"
    assert (await endpoint.ask("DELETE", guess)).status in (403, 404, 410)
    assert (await endpoint.patch(guess, fragment(CANDIDATE), reply.etag)).status in (403, 404, 410)
    assert await answers_checks(reply)


# RFC 8445, as far as it decides whether a session lives


async def test_rfc8445_7_3_a_check_with_another_password_is_not_answered_with_success(endpoint: Endpoint) -> None:
    reply = await endpoint.begin()
    assert not await answers_checks(reply, password="x" * 24, wait_s=0.5)
    assert await answers_checks(reply, ours=UFRAG)
