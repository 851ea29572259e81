/* The live page of lanestat. One look a second at /api/status and at what is
 * new in /api/history; nothing is loaded from elsewhere, and whatever comes in
 * is text, never markup. */
"use strict";

(function () {

var SVG = "http://www.w3.org/2000/svg";
var HOUR = 3600, DAY = 86400;
/* Seconds of a sample, seconds shown, ticks and narrow ticks of the axis. */
var SPANS = [
	{name: "10 min", step: 1, length: 600, every: 120, narrow: 120},
	{name: "Hour", step: 1, length: HOUR, every: 600, narrow: 1200},
	{name: "Day", step: 60, length: DAY, every: 10800, narrow: 21600},
];
var shown = SPANS[1], step = 1;
var past = {1: {}, 60: {}};     /* samples by lane name, in order of time */
var events = [], names = {waits: [], health: []};
var last_s = 0, last_good_ms = 0, minutes_ms = 0;
var columns_known = ["sent", "deferred", "bounced", "slowed", "limit_milli",
    "learned_milli", "waiting", "in_flight", "sessions", "backlog",
    "postfix_p95", "lane_p95", "wire_p95", "waits", "health"];

/* What mail waits for, in groups of one colour. */
var GROUPS = [
	["none", "nothing waits", ["nothing", "turn"]],
	["limit", "a limit that was set", ["rate", "domain", "connection-limit",
	    "connection-rate"]],
	["pace", "the pace that replies taught", ["pace"]],
	["session", "a session", ["connection", "slot", "window", "rest"]],
	["pause", "a pause the provider asked for", ["pause"]],
	["trouble", "an outage or alarm", ["backoff", "outage", "alarm",
	    "settings"]],
	["operator", "an operator, a stop", ["operator", "stopping"]],
];

/* ---- words -------------------------------------------------------------- */

function rate_text(n) {
	if (n >= 100) return Math.round(n).toLocaleString("en");
	if (n >= 10) return n.toFixed(0);
	if (n >= 1) return n.toFixed(1).replace(/\.0$/, "");
	return n > 0 ? String(Number(n.toPrecision(2))) : "0";
}

function count_text(n) {
	if (n >= 1e6) return (n / 1e6).toFixed(1) + " M";
	return Math.round(n).toLocaleString("en");
}

function age_text(s) {
	s = Math.max(0, Math.round(s));
	if (s < 60) return s + " s ago";
	if (s < 3600) return Math.floor(s / 60) + " m ago";
	if (s < DAY) return Math.floor(s / 3600) + " h ago";
	return Math.floor(s / DAY) + " d ago";
}

function span_text(s) {
	s = Math.max(0, Math.round(s));
	if (s < 60) return s + " s";
	if (s < 3600) return Math.floor(s / 60) + " m " + s % 60 + " s";
	if (s < DAY) return Math.floor(s / 3600) + " h " +
	    Math.floor(s / 60 % 60) + " m";
	return Math.floor(s / DAY) + " d " + Math.floor(s / 3600 % 24) + " h";
}

function short_text(ms) {
	if (ms <= 0) return "–";
	if (ms < 10) return ms.toFixed(1) + " ms";
	if (ms < 1000) return Math.round(ms) + " ms";
	if (ms < 60000) return (ms / 1000).toFixed(1) + " s";
	return span_text(ms / 1000);
}

function two(n) {
	return (n < 10 ? "0" : "") + n;
}

function clock_text(s, with_seconds) {
	var d = new Date(s * 1000);
	return two(d.getHours()) + ":" + two(d.getMinutes()) +
	    (with_seconds ? ":" + two(d.getSeconds()) : "");
}

/* ---- elements ----------------------------------------------------------- */

/* make("p", "class", "text" or [children]) */
function make(tag, cls, content) {
	var e = document.createElement(tag);
	if (cls) e.className = cls;
	if (Array.isArray(content))
		content.forEach(function (c) { if (c) e.appendChild(c); });
	else if (content !== undefined)
		e.textContent = content;
	return e;
}

function draw(tag, attributes, content) {
	var e = document.createElementNS(SVG, tag);
	Object.keys(attributes).forEach(function (k) {
		e.setAttribute(k, attributes[k]);
	});
	if (content !== undefined) e.textContent = content;
	return e;
}

function fill(id, children) {
	var e = document.getElementById(id);
	e.replaceChildren.apply(e, children);
}

function set(e, text) {
	if (e.textContent !== text) e.textContent = text;
}

/* Makes one node, and what is in it, like another: only what changed is
 * touched, so that words that somebody selects stay selected, and a title that
 * is being read stays. For what has no listeners of its own. */
function liken(old, next) {
	if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) {
		old.replaceWith(next);
		return;
	}
	if (old.nodeType === Node.TEXT_NODE) {
		if (old.data !== next.data) old.data = next.data;
		return;
	}
	next.getAttributeNames().forEach(function (name) {
		if (old.getAttribute(name) === next.getAttribute(name)) return;
		/* As an attribute the page's policy forbids it. */
		if (name === "style") old.style.cssText = next.style.cssText;
		else old.setAttribute(name, next.getAttribute(name));
	});
	old.getAttributeNames().forEach(function (name) {
		if (!next.hasAttribute(name)) old.removeAttribute(name);
	});
	liken_children(old, Array.from(next.childNodes));
}

function liken_children(old, children) {
	while (old.childNodes.length > children.length)
		old.lastChild.remove();
	children.forEach(function (child, i) {
		if (i < old.childNodes.length)
			liken(old.childNodes[i], child);
		else
			old.appendChild(child);
	});
}

function renew(id, children) {
	liken_children(document.getElementById(id), children);
}

/* ---- the strip ---------------------------------------------------------- */

function figure(label, value, unit, cls) {
	var dd = make("dd", "", value);
	if (unit) dd.appendChild(make("small", "", unit));
	return make("div", cls, [make("dt", "", label), dd]);
}

function forecast_of(queue, now_s) {
	var e = make("p", "forecast"), n, from = "";

	function say(text, is_bold) {
		e.appendChild(make(is_bold ? "b" : "span", "", text));
	}
	if (!queue) {
		say("Postfix's queue is not known");
		return e;
	}
	n = queue.active + queue.incoming + queue.deferred;
	if (queue.begin_wall_ms > 0)
		from = clock_text(queue.begin_wall_ms / 1000, true);
	if (n === 0)
		say("Nothing waits to be sent");
	else if (queue.empty_s >= 0) {
		say("Gone in ");
		say(span_text(queue.empty_s), true);
		say(" (" + clock_text(now_s + queue.empty_s,
		    queue.empty_s < 600) + ") at the pace of the last minute");
	} else
		say(queue.end.charAt(0).toUpperCase() + queue.end.slice(1));
	if (n > 0 && queue.limit_s > 0)
		say("; with " + queue.limit +
		    (from ? " from " + from + " on" : "") + " it takes " +
		    span_text(queue.limit_s) + " at least");
	return e;
}

/* Settings that somebody changed, and no reload has put in force. */
function pending_of(lane) {
	var names = lane.not_in_force, more = names.length - 5;

	if (names.length === 0)
		return [];
	return [make("p", "forecast", "Not in force before a \u201cpostfix " +
	    "reload\u201d: " + names.slice(0, 5).join(", ") +
	    (more > 0 ? " and " + more + " more" : ""))];
}

function lane_card(lane, now_s) {
	var queue = lane.queue, n = queue ? queue.active + queue.incoming : 0;
	var about = queue && !queue.is_exact && n > 0 ? "~" : "";

	return make("article", "card lane is-" + lane.health, [
		make("div", "name", [
			make("h2", "", lane.name),
			make("span", "pill is-" + lane.health, lane.health),
		]),
		make("p", "sentence", lane.sentence),
	].concat(pending_of(lane), [
		make("dl", "figures", [
			figure("sent", rate_text(lane.per_s_10s), " /s", "big"),
			figure("in the queue", queue ? about + count_text(n)
			    : "?"),
			figure("deferred", queue ? (queue.is_exact ||
			    queue.deferred === 0 ? "" : "~") +
			    count_text(queue.deferred) : "?"),
			figure("sessions", String(lane.sessions.length), "",
			    "last"),
		]),
		forecast_of(queue, now_s),
	]));
}

/* ---- accounts ----------------------------------------------------------- */

function cells_of(account, status, colours) {
	var cells = [], keys = [], kept = 0, free;

	function add(n, state, cls, title) {
		for (var i = 0; i < n; i++) {
			var c = make("span", "cell is-" + state + " " + cls);
			c.title = title;
			cells.push(c);
		}
	}
	account.slots.lanes.slice().sort(function (a, b) {
		return colours[a.name] - colours[b.name];
	}).forEach(function (member) {
		var lane = status.lanes.find(function (l) {
			return l.name === member.name;
		});
		var cls = "of-lane-" + colours[member.name];
		var left = member.holds, shown = 0;

		["busy", "idle", "dialing", "closing"].forEach(function (state) {
			var n = lane ? lane.sessions.filter(function (s) {
				return s.state === state;
			}).length : 0;
			n = Math.min(n, left);
			left -= n;
			shown += n;
			add(n, state, cls, member.name + ": " + state);
		});
		add(left, "idle", cls, member.name);
		kept += Math.max(0, member.reserve - member.holds);
		keys.push(make("li", cls, [
			make("span", "cell is-busy"),
			make("span", "", member.name + " " + member.holds +
			    (member.wants > 0 ? ", wants " + member.wants : "")),
		]));
	});
	add(account.slots.draining, "draining", "", "of a process before a reload");
	add(account.slots.resting, "resting", "", "resting: closed without a " +
	    "goodbye, the provider may still count it");
	free = account.limit_now - account.slots.held - account.slots.resting;
	kept = Math.max(0, Math.min(kept, free));
	add(kept, "kept", "", "free, kept for a lane");
	add(Math.max(0, free - kept), "free", "", "free");
	add(Math.max(0, account.limit - account.limit_now), "withheld", "",
	    "the provider refuses so many now");
	return {cells: cells, keys: keys};
}

function key(state, text) {
	return make("li", "", [make("span", "cell is-" + state),
	    make("span", "", text)]);
}

/* For who does not see it. */
function picture(label, e) {
	e.setAttribute("role", "img");
	e.setAttribute("aria-label", label);
	return e;
}

function legend_of_cells(account) {
	var keys = [key("busy", "busy"), key("idle", "idle")];

	if (account.slots.resting > 0) keys.push(key("resting", "resting"));
	if (account.slots.draining > 0) keys.push(key("draining", "draining"));
	if (account.limit_now < account.limit)
		keys.push(key("withheld", "refused by the provider"));
	keys.push(key("free", "free"));
	return keys;
}

/* Of "50000/1d!" */
function period_text(limit) {
	var period = limit.replace(/^.*[/]/, "").replace("!", "");

	return {"1d": " a day", "1h": " an hour", "1m": " a minute"}[period] ||
	    " in " + period;
}

function quota_of(rate) {
	var share = rate.used / rate.size;
	var bar = make("i");
	var cls = share >= 1 ? " is-over" : share >= 0.8 ? " is-near" : "";

	bar.style.width = Math.min(100, share * 100).toFixed(1) + "%";
	return make("div", "quota" + cls, [
		make("div", "", count_text(rate.used) + " of " +
		    rate.size.toLocaleString("en") + " " + rate.unit +
		    period_text(rate.limit) + " used"),
		make("div", "bar", [bar]),
	]);
}

function account_card(account, status, colours, now_ms) {
	var all = cells_of(account, status, colours);
	var count = account.slots.held + " of " + account.limit_now +
	    " connections";

	if (account.limit_now < account.limit)
		count += ", " + account.limit + " are set";
	return make("article", "card account", [
		make("div", "title", [make("h2", "", account.label),
		    make("span", "count", count)]),
		picture(count, make("div", "cells" +
		    (account.limit > 60 ? " is-many" : ""), all.cells)),
		make("ul", "keys", all.keys.concat(legend_of_cells(account))),
	].concat(account.rates.filter(function (r) {
		return r.is_quota && (r.size = parseInt(r.limit, 10)) > 0;
	}).map(quota_of), [
		account.refusals > 0 ? make("p", "refusal",
		    "Refused " + count_text(account.refusals) + " times, last " +
		    span_text((now_ms - account.refused_wall_ms) / 1000) +
		    " ago: " + account.refusal) : null,
	]));
}

function tokens_card(tokens) {
	return make("article", "card tokens", [
		make("div", "title", [make("h2", "", "Access tokens")]),
		make("ul", "", tokens.map(function (t) {
			return make("li", "", [make("b", "", t.name),
			    make("span", "pill is-" + t.health, t.health),
			    make("span", "what", t.sentence)]);
		})),
	]);
}

/* ---- graphs ------------------------------------------------------------- */

/* Averages or greatest values of the samples, in n equal parts of the span. */
function bins_of(samples, from_s, to_s, n) {
	var width = (to_s - from_s) / n, bins = [], i;

	for (i = 0; i < n; i++)
		bins.push({at_s: from_s + i * width, count: 0, sent: 0,
		    deferred: 0, bounced: 0, slowed: 0, limit: 0, learned: 0,
		    postfix: 0, lane: 0, wire: 0, waits: {}, waiting: 0,
		    backlog: -1});
	samples.forEach(function (s) {
		var b = bins[Math.floor((s.at_s - from_s) / width)];
		if (!b) return;
		b.count++;
		b.sent += s.sent;
		b.deferred += s.deferred;
		b.bounced += s.bounced;
		b.slowed += s.slowed;
		b.limit = s.limit_milli / 1000;
		b.learned = s.learned_milli / 1000;
		b.postfix = Math.max(b.postfix, s.postfix_p95 / 10);
		b.lane = Math.max(b.lane, s.lane_p95 / 10);
		b.wire = Math.max(b.wire, s.wire_p95 / 10);
		b.waiting = s.waiting;
		b.backlog = s.backlog;
		b.waits[s.waits] = (b.waits[s.waits] || 0) + 1;
	});
	bins.forEach(function (b) { b.rate = b.sent / (b.count * step || 1); });
	return bins;
}

/* 1, 2 or 5 times a power of ten, about a third of most. */
function tick_of(most) {
	var p = Math.pow(10, Math.floor(Math.log10(most / 3)));
	return [1, 2, 5, 10].map(function (k) { return k * p; })
	    .find(function (t) { return most / t <= 4; }) || 10 * p;
}

/* The same for a time in milliseconds, as clocks are divided. */
function time_tick_of(most) {
	return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4,
	    6e4, 12e4, 3e5, 6e5, 12e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5]
	    .find(function (t) { return most / t <= 3; }) || tick_of(most);
}

/* Runs of bins that have the value, each as a list of points. */
function runs_of(bins, x, y, value) {
	var runs = [], run = null;

	bins.forEach(function (b, i) {
		var v = b.count > 0 ? value(b) : null;
		if (v === null) {
			run = null;
			return;
		}
		if (!run) runs.push(run = []);
		run.push(x(i).toFixed(1) + "," + y(v).toFixed(1));
	});
	return runs;
}

function lines(svg, cls, runs) {
	runs.forEach(function (run) {
		var only = run[0].split(",");
		svg.appendChild(draw("path", {class: cls, d: "M" + (run.length > 1
		    ? run.join("L") : only + "h1")}));
	});
}

function time_axis(svg, box, from_s, to_s) {
	var every = box.w < 420 ? shown.narrow : shown.every;
	var zone = new Date(to_s * 1000).getTimezoneOffset() * 60;
	var t = Math.ceil((from_s - zone) / every) * every + zone;

	for (; t <= to_s; t += every) {
		var x = box.x + (t - from_s) / (to_s - from_s) * box.w;
		svg.appendChild(draw("line", {class: "grid", x1: x, x2: x,
		    y1: box.y, y2: box.y + box.h}));
		if (x < box.x + 8) continue;
		svg.appendChild(draw("text", {x: Math.min(x, box.x + box.w - 14),
		    y: box.y + box.h + 14, "text-anchor": "middle"},
		    clock_text(t)));
	}
}

function new_svg(width, height) {
	return draw("svg", {viewBox: "0 0 " + width + " " + height,
	    height: height, "aria-hidden": "true"});
}

function rate_graph(width, bins, span) {
	var height = 190, box = {x: 40, y: 8, w: width - 44, h: height - 30};
	var svg = new_svg(width, height), n = bins.length;
	var rate_most = 0, most, tick, beyond = [];

	bins.forEach(function (b) { rate_most = Math.max(rate_most, b.rate); });
	most = rate_most;
	[["limit", "limit"], ["learned", "learned"]].forEach(function (k) {
		var v = bins.reduce(function (m, b) {
			return Math.max(m, b[k[0]]);
		}, 0);
		if (v > 0 && (rate_most === 0 || v <= rate_most * 3))
			most = Math.max(most, v);
		else if (v > 0)
			beyond.push(k[1] + " " + rate_text(v) + "/s ↑");
	});
	most = most > 0 ? most * 1.12 : 1;
	tick = tick_of(most);

	function x(i) { return box.x + (i + 0.5) / n * box.w; }
	function y(v) {
		return box.y + box.h - Math.min(v, most) / most * box.h;
	}
	for (var t = 0; t <= most; t += tick) {
		svg.appendChild(draw("line", {class: t ? "grid" : "axis",
		    x1: box.x, x2: box.x + box.w, y1: y(t), y2: y(t)}));
		svg.appendChild(draw("text", {x: box.x - 6, y: y(t) + 4,
		    "text-anchor": "end"}, rate_text(t)));
	}
	time_axis(svg, box, span.from_s, span.to_s);
	var runs = runs_of(bins, x, y, function (b) { return b.rate; });
	runs.forEach(function (run) {
		var first = run[0].split(",")[0];
		var end = run[run.length - 1].split(",")[0];
		svg.appendChild(draw("path", {class: "rate-area", d: "M" + first +
		    "," + y(0) + "L" + run.join("L") + "L" + end + "," + y(0) +
		    "Z"}));
	});
	lines(svg, "rate-line", runs);
	lines(svg, "limit-line", runs_of(bins, x, y, function (b) {
		return b.limit > 0 && b.limit <= most ? b.limit : null;
	}));
	lines(svg, "learned-line", runs_of(bins, x, y, function (b) {
		return b.learned > 0 && b.learned <= most ? b.learned : null;
	}));
	if (rate_most === 0)
		svg.appendChild(draw("text", {x: box.x + box.w / 2, class:
		    "nothing", "text-anchor": "middle", y: box.y + box.h / 2},
		    "nothing was sent"));
	beyond.forEach(function (text, i) {
		svg.appendChild(draw("text", {x: box.x + box.w, "text-anchor":
		    "end", y: box.y + 12 + i * 14}, text));
	});
	follow(svg, box, bins, y);
	return svg;
}

function group_of(wait) {
	var name = names.waits[wait];
	return GROUPS.find(function (g) { return g[2].indexOf(name) >= 0; }) ||
	    GROUPS[0];
}

/* Which wait most of the bin had; something goes before nothing. */
function wait_of(bin) {
	var best = 0, count = 0;

	Object.keys(bin.waits).forEach(function (w) {
		var is_none = group_of(w)[0] === "none";
		var n = is_none ? bin.waits[w] / 1000 : bin.waits[w];
		if (n > count) {
			count = n;
			best = Number(w);
		}
	});
	return best;
}

function wait_strip(width, bins) {
	var svg = new_svg(width, 14), x0 = 40, w = width - 44;
	var start = 0, cls = null;

	function flush(end) {
		if (cls !== null && end > start)
			svg.appendChild(draw("rect", {class: "w-" + cls, y: 0,
			    height: 14, rx: 2, x: x0 + start / bins.length * w,
			    width: (end - start) / bins.length * w}));
	}
	bins.forEach(function (b, i) {
		var now = b.count > 0 ? group_of(wait_of(b))[0] : null;
		if (now === cls) return;
		flush(i);
		start = i;
		cls = now;
	});
	flush(bins.length);
	return svg;
}

function waits_graph(width, bins, span) {
	var height = 104, box = {x: 40, y: 6, w: width - 44, h: height - 26};
	var svg = new_svg(width, height), most = 0, tick, n = bins.length;
	var parts = ["wire", "lane", "postfix"];

	bins.forEach(function (b) {
		most = Math.max(most, b.postfix + b.lane + b.wire);
	});
	most = most > 0 ? most * 1.1 : 100;
	tick = time_tick_of(most);
	for (var t = 0; t <= most; t += tick) {
		var at = box.y + box.h - t / most * box.h;
		svg.appendChild(draw("line", {class: t ? "grid" : "axis",
		    x1: box.x, x2: box.x + box.w, y1: at, y2: at}));
		if (t)
			svg.appendChild(draw("text", {x: box.x - 6, y: at + 4,
			    "text-anchor": "end"}, tight_text(t)));
	}
	time_axis(svg, box, span.from_s, span.to_s);
	bins.forEach(function (b, i) {
		var base = box.y + box.h;
		parts.forEach(function (part) {
			var h = b[part] / most * box.h;
			if (h <= 0) return;
			base -= h;
			svg.appendChild(draw("rect", {class: "part-" + part,
			    x: (box.x + i / n * box.w).toFixed(1),
			    y: base.toFixed(1), height: h.toFixed(1),
			    width: Math.max(0.8, box.w / n - 0.4).toFixed(1)}));
		});
	});
	return svg;
}

function tight_text(ms) {
	return ms < 1000 ? Math.round(ms) + "ms" : ms < 60000 ?
	    Number((ms / 1000).toPrecision(3)) + "s" : ms < 3600000 ?
	    Number((ms / 60000).toPrecision(3)) + "m" :
	    Number((ms / 3600000).toPrecision(3)) + "h";
}

/* The values under the pointer. */
function follow(svg, box, bins, y) {
	var tip = document.getElementById("tip");
	var cross = draw("line", {class: "cross", y1: box.y, y2: box.y + box.h,
	    visibility: "hidden"});
	var dot = draw("circle", {class: "dot", r: 4, visibility: "hidden"});

	svg.appendChild(draw("rect", {class: "ground", x: box.x, y: box.y,
	    width: box.w, height: box.h}));
	svg.appendChild(cross);
	svg.appendChild(dot);
	svg.addEventListener("pointermove", function (event) {
		var r = svg.getBoundingClientRect();
		var scale = (r.width || 1) / svg.viewBox.baseVal.width;
		var i = Math.floor(((event.clientX - r.left) / scale - box.x) /
		    box.w * bins.length);
		var b = bins[i], x;

		if (!b || b.count === 0) {
			hide();
			return;
		}
		x = box.x + (i + 0.5) / bins.length * box.w;
		cross.setAttribute("x1", x);
		cross.setAttribute("x2", x);
		dot.setAttribute("cx", x);
		dot.setAttribute("cy", y(b.rate));
		cross.setAttribute("visibility", "visible");
		dot.setAttribute("visibility", "visible");
		tip.textContent = tip_of(b);
		tip.hidden = false;
		tip.style.transform = "translate(" + Math.round(Math.max(8,
		    Math.min(event.clientX + 14, window.innerWidth -
		    tip.offsetWidth - 8))) + "px," + Math.round(Math.max(8,
		    event.clientY - tip.offsetHeight - 14)) + "px)";
	});
	function hide() {
		tip.hidden = true;
		cross.setAttribute("visibility", "hidden");
		dot.setAttribute("visibility", "hidden");
	}
	svg.addEventListener("pointerleave", hide);
}

function tip_of(b) {
	var text = clock_text(b.at_s, step === 1) + "\n" + rate_text(b.rate) +
	    " messages/s";

	if (b.limit > 0) text += "\nlimit " + rate_text(b.limit) + "/s";
	if (b.learned > 0) text += "\nlearned " + rate_text(b.learned) + "/s";
	text += "\n" + count_text(b.waiting) + " waiting inside";
	if (b.backlog >= 0)
		text += "\n" + count_text(b.backlog) + " in the queue";
	if (group_of(wait_of(b))[0] !== "none")
		text += "\nfor: " + names.waits[wait_of(b)];
	return text;
}

function bars(bins, field, cls, width) {
	var svg = new_svg(width, 26), most = 0, n = bins.length;

	svg.setAttribute("preserveAspectRatio", "none");
	bins.forEach(function (b) { most = Math.max(most, b[field]); });
	svg.appendChild(draw("line", {class: "grid", x1: 0, x2: width, y1: 25.5,
	    y2: 25.5}));
	bins.forEach(function (b, i) {
		if (b[field] <= 0) return;
		var h = Math.max(2, b[field] / most * 24);
		svg.appendChild(draw("rect", {class: cls, y: (25 - h).toFixed(1),
		    x: (i / n * width).toFixed(1), height: h.toFixed(1),
		    width: (width / n * 0.8).toFixed(1)}));
	});
	return svg;
}

function replies_of(samples, span) {
	var bins = bins_of(samples, span.from_s, span.to_s, 40);

	function one(label, field) {
		var sum = samples.reduce(function (n, s) {
			return n + s[field];
		}, 0);
		return make("div", "", [make("dt", "", label),
		    make("dd", "", count_text(sum)),
		    bars(bins, field, "r-" + field, 160)]);
	}
	return make("dl", "replies", [
		one("delivered", "sent"),
		one("deferred", "deferred"),
		one("bounced", "bounced"),
		one("asked to slow down", "slowed"),
	]);
}

function swatch(cls, text) {
	return make("li", "", [make("span", cls), make("span", "", text)]);
}

function wait_legend(bins) {
	var seen = {};

	bins.forEach(function (b) {
		if (b.count > 0) seen[group_of(wait_of(b))[0]] = true;
	});
	return make("ul", "legend", GROUPS.filter(function (g) {
		return seen[g[0]];
	}).map(function (g) { return swatch("block w-" + g[0], g[1]); }));
}

function title(text, right) {
	return make("h3", "", [make("span", "", text), right || null]);
}

/* The last samples that have a value: what it is now. */
function part_now(samples, field) {
	for (var i = samples.length - 1; i >= 0 && i > samples.length - 120; i--)
		if (samples[i].wire_p95 > 0) return samples[i][field] / 10;
	return 0;
}

function graphs_of(lane, width, now_s) {
	var samples = past[step][lane.name] || [];
	var span = {to_s: now_s + 1};
	var limit = samples.length ? samples[samples.length - 1] : {};
	var bins, legend;

	span.from_s = span.to_s - shown.length;
	samples = samples.filter(function (s) { return s.at_s >= span.from_s; });
	bins = bins_of(samples, span.from_s, span.to_s, width < 420 ? 120 : 200);
	legend = [swatch("swatch", "sent " + rate_text(lane.per_s_10s) + "/s")];
	if (limit.limit_milli > 0)
		legend.push(swatch("swatch is-limit", "limit " +
		    rate_text(limit.limit_milli / 1000) + "/s"));
	if (limit.learned_milli > 0)
		legend.push(swatch("swatch is-learned", "learned " +
		    rate_text(limit.learned_milli / 1000) + "/s"));
	return make("article", "card graphs", [
		make("div", "title", [make("h2", "", lane.name),
		    make("ul", "legend", legend)]),
		rate_graph(width, bins, span),
		title("Mail waits for", wait_legend(bins)),
		wait_strip(width, bins),
		title("95 % of messages took at most", make("ul", "legend", [
			swatch("block part-postfix", "in Postfix " +
			    short_text(part_now(samples, "postfix_p95"))),
			swatch("block part-lane", "in the lane " +
			    short_text(part_now(samples, "lane_p95"))),
			swatch("block part-wire", "on the wire " +
			    short_text(part_now(samples, "wire_p95"))),
		])),
		waits_graph(width, bins, span),
		title("Replies"),
		replies_of(samples, span),
	]);
}

/* ---- events ------------------------------------------------------------- */

function events_card(now_ms) {
	var rows = events.slice(0, 20).map(function (e) {
		var when = make("time", "", age_text((now_ms - e.at_ms) / 1000));
		when.title = new Date(e.at_ms).toLocaleString();
		return make("li", "is-" + e.health, [when,
		    make("span", "who", e.lane), make("span", "what", e.text)]);
	});

	return make("article", "card", [
		make("h2", "", "Lately"),
		rows.length ? make("ol", "", rows)
		    : make("p", "empty", "Nothing happened yet."),
	]);
}

/* ---- all ---------------------------------------------------------------- */

function is_bad(l) {
	return l.health !== "well";
}

function summary_of(lanes, tokens) {
	var bad = lanes.filter(is_bad).concat(tokens.filter(is_bad));

	if (lanes.length === 0) return "master.cf has no lane";
	if (bad.length === 0)
		return lanes.length === 1 ? "The lane is well"
		    : lanes.length === 2 ? "Both lanes are well"
		    : "All " + lanes.length + " lanes are well";
	return bad.map(function (l) {
		return l.name + ": " + l.health;
	}).join(", ");
}

function width_of_graphs() {
	var list = document.getElementById("lanes");
	var one = list.querySelector(".graphs > svg");

	/* A window that is not shown may be of no width. */
	if (one) return Math.max(200,
	    Math.round(one.getBoundingClientRect().width));
	return Math.max(280, Math.min(640, document.body.clientWidth - 60));
}

function start_card() {
	return make("article", "card", [
		make("h2", "", "No lane yet"),
		make("p", "empty", "\u201cpostlane setup NEXTHOP\u201d shows what makes " +
		    "two lanes to a smarthost, and with --apply does it. They are " +
		    "here as soon as master.cf has them."),
	]);
}

var shown_width = 0, is_hovering = false, latest = null;

function show(status) {
	var now_s = Math.floor(status.now_wall_ms / 1000);
	var lanes = status.lanes.filter(function (l) {
		return l.is_in_master_cf || l.state === "running";
	});
	var colours = {};

	lanes.forEach(function (l, i) { colours[l.name] = i % 6; });
	var summary = summary_of(lanes, status.tokens);

	set(document.getElementById("summary"), summary);
	document.title = (lanes.some(is_bad) || status.tokens.some(is_bad) ?
	    "! " : "") + "postlane: " + summary;
	latest = status;
	document.getElementById("spans").hidden = lanes.length === 0;
	renew("strip", lanes.length ? lanes.map(function (l) {
		return lane_card(l, now_s);
	}) : [start_card()]);
	renew("accounts", status.accounts.filter(function (a) {
		return a.is_in_use;
	}).map(function (a) {
		return account_card(a, status, colours, status.now_wall_ms);
	}).concat(status.tokens.length ? [tokens_card(status.tokens)] : []));
	if (!is_hovering) {
		var width = width_of_graphs();
		fill("lanes", lanes.map(function (l) {
			return graphs_of(l, width, now_s);
		}));
		/* The first time it was a guess. */
		if (width_of_graphs() !== width && shown_width !== width) {
			shown_width = width;
			width = width_of_graphs();
			fill("lanes", lanes.map(function (l) {
				return graphs_of(l, width, now_s);
			}));
		}
	}
	renew("events", lanes.length ? [events_card(status.now_wall_ms)] : []);
	set(document.getElementById("clock"), clock_text(now_s, true));
	set(document.getElementById("release"), "postlane " + status.release);
}

/* Columns to samples, behind those that are there. */
function take(history, of_step) {
	var keep_s = history.now_s - (of_step === 1 ? HOUR : DAY);

	names = {waits: history.waits_names, health: history.health_names};
	events = history.events;
	history.lanes.forEach(function (lane) {
		var list = past[of_step][lane.name] || [];
		var first = lane.at_s.length ? lane.at_s[0] : Infinity;

		list = list.filter(function (s) {
			return s.at_s >= keep_s && s.at_s < first;
		});
		lane.at_s.forEach(function (at_s, i) {
			var s = {at_s: at_s};
			columns_known.forEach(function (c) { s[c] = lane[c][i]; });
			list.push(s);
		});
		past[of_step][lane.name] = list;
	});
}

function get(path) {
	return fetch(path, {cache: "no-store"}).then(function (r) {
		if (!r.ok) throw new Error(r.status);
		return r.json();
	});
}

function take_minutes(now_ms) {
	if (step !== 60 || now_ms - minutes_ms < 20000)
		return Promise.resolve();
	minutes_ms = now_ms;
	return get("api/history?step=60").then(function (h) { take(h, 60); });
}

/* A history of some minutes would be lost in an hour. */
function choose_span() {
	var first = Infinity;

	Object.keys(past[1]).forEach(function (name) {
		if (past[1][name].length)
			first = Math.min(first, past[1][name][0].at_s);
	});
	if (first > last_s - SPANS[0].length) press(SPANS[0]);
}

function turn() {
	var began_ms = Date.now();

	return get("api/history?step=1&since=" + (last_s ? last_s + 1 : 0))
	    .then(function (h) {
		var is_first = last_s === 0;
		take(h, 1);
		last_s = h.now_s;
		if (is_first) choose_span();
		return take_minutes(began_ms);
	}).then(function () {
		return get("api/status");
	}).then(function (status) {
		last_good_ms = Date.now();
		document.body.classList.remove("is-stale");
		show(status);
	}).catch(function () {
		if (Date.now() - last_good_ms < 3000) return;
		document.body.classList.add("is-stale");
		set(document.getElementById("clock"), last_good_ms ?
		    "no answer for " +
		    span_text((Date.now() - last_good_ms) / 1000) :
		    "no answer");
	});
}

function again() {
	turn().then(function () { window.setTimeout(again, 1000); });
}

function press(span) {
	shown = span;
	step = span.step;
	document.querySelectorAll("#spans button").forEach(function (b, i) {
		b.setAttribute("aria-pressed", String(SPANS[i] === span));
	});
	minutes_ms = 0;
}

function span_buttons() {
	SPANS.forEach(function (s) {
		var b = make("button", "", s.name);
		b.type = "button";
		b.addEventListener("click", function () {
			press(s);
			turn();
		});
		document.getElementById("spans").appendChild(b);
	});
	press(shown);
}

/* A graph under the pointer is not exchanged. */
document.getElementById("lanes").addEventListener("pointerover",
    function (e) { is_hovering = e.target.closest("svg") !== null; });
document.getElementById("lanes").addEventListener("pointerleave",
    function () { is_hovering = false; });

/* Another width: graphs are drawn anew. */
window.addEventListener("resize", function () {
	is_hovering = false;
	if (latest) show(latest);
});

document.getElementById("tables").hidden = true;
span_buttons();
again();

}());
