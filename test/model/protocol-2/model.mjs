// Protocol 2, revised rules R1-R12, as a small state machine. One run is one seed. Histories are nodes of a trie: a node is an event,
// its depth is the sequence, and (as with a Merkle root) a node represents everything up to it.
//   node model.mjs FAMILY FROM COUNT [mutant ...]      env: NEM=forward,race,... or NEM=all; STEPS=160; SWARM=1; DBG=1 (one seed)
// Families: F0 honest; F1 dishonest hosts of weight <= f, declared; F2 dishonest hosts, f = 0 declared (exact condition);
// F3 rolled-back hosts within f; F13 F1 and F3; FV a running process cloned.
// A mutant removes one rule; a nemesis (NEM) adds one kind of fault:
//   forward  hosts forward trees of other writers to honest hosts       torn  a restored copy has its log from one moment, its file from another
//   lease    a second core takes over a shared log, the first continues race  answers arrive late and in any order, an election after each
//   lines    operators choose line numbers independently                begin a running core begins a line at any time
//   echo     a host answers each claim with FENCED and that claim       gone  hosts of ended policies are permanently lost before the end
//   loss     many restores with accepted loss, much damage              smart dishonest hosts show the worst tree they have   slow  a reading takes time
// The product's own rules, which are compared with the model:
import { decideElection, decideMeeting } from '../../../dist/domain/election.js';
import { decideAcceptedLoss } from '../../../dist/domain/accepted-loss.js';
import { decideReading } from '../../../dist/domain/reading.js';
export const NEMESES = ['forward', 'torn', 'lease', 'race', 'lines', 'begin', 'echo', 'gone', 'loss', 'smart', 'slow'];
export function rng(s) {
  s >>>= 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const INF = 2 ** 53 - 1; // base of trees by a writer that is not elected
export function run(seed, { family = 'F0', mut = new Set(), nem = new Set(), steps = 160 } = {}) {
  const r = rng(seed * 7919 + 17),
    pick = (n) => Math.floor(r() * n),
    chance = (p) => r() < p,
    of = (a) => a[pick(a.length)];
  const shuffled = (a) => {
    a = [...a];
    for (let i = a.length - 1; i > 0; i--) {
      const j = pick(i + 1);
      [a[i], a[j]] = [a[j], a[i]];
    }
    return a;
  };
  const M = (m) => mut.has(m),
    N = (x) => nem.has(x),
    F2 = family === 'F2',
    T = process.env.DBG ? (...a) => console.log(...a) : () => {};

  // ---- the trie. A node has its line, and the event that began this line (R1: the line's identity)
  const parent = [-1],
    depth = [0],
    pol = [null],
    lastPol = [-1],
    lineOf = [0],
    begunOf = [0];
  const node = (p, policy = null) => {
    const n = parent.length;
    parent.push(p);
    depth.push(depth[p] + 1);
    pol.push(policy);
    lastPol.push(policy ? n : lastPol[p]);
    const fresh = policy && policy.line !== lineOf[p];
    lineOf.push(fresh ? policy.line : lineOf[p]);
    begunOf.push(fresh ? n : begunOf[p]);
    return n;
  };
  const anc = (n, d) => {
    while (depth[n] > d) n = parent[n];
    return n;
  };
  const isAnc = (a, b) => depth[a] <= depth[b] && anc(b, depth[a]) === a; // a is on the history b
  const lca = (a, b) => {
    a = anc(a, depth[b]);
    b = anc(b, depth[a]);
    while (a !== b) {
      a = parent[a];
      b = parent[b];
    }
    return a;
  };
  const path = (n) => {
    const out = [];
    while (n > 0) {
      out.push(n);
      n = parent[n];
    }
    return out;
  };
  const show = (t) =>
    t
      ? `${t.line}(${t.begun}).${t.epoch}w${t.writer}@${depth[t.node]}#${t.node}${depth[t.node] < t.base ? '?' : ''}q${depth[t.q]}`
      : '-';

  // ---- results
  const bad = [],
    st8 = {
      reported: 0,
      elected: 0,
      restores: 0,
      restored: 0,
      exact: 0,
      silent: 0,
      refused: 0,
      qRefused: 0,
      lineRefused: 0,
      accepted: 0,
      lineSilent: 0,
      caught: 0,
      stops: 0,
      aside: 0,
      asideSilent: 0,
      staged: 0,
      forks: 0,
      lineForks: 0,
      committed: 0,
      tails: 0,
      again: 0,
      torn: 0,
      lease: 0,
      forwarded: 0,
      late: 0,
      beganMid: 0,
      gone: 0,
      begun: 0,
      chosen: 0,
      i5: 0,
      i5not: 0,
      history: 0,
      decided: 0,
      reread: 0,
    };
  const fail = (inv, text) => {
    bad.push(`${inv}: ${text}`);
  };
  let clock = 0,
    lossy = true,
    maxLine = 1,
    cloned = false,
    deceived = false,
    ids = 0;
  const pool = [],
    sent = [],
    claimsSent = [],
    reported = [],
    folders = [],
    procs = [],
    elections = [],
    copies = [];

  // ---- hosts
  const n0 = 2 + pick(4);
  const hosts = Array.from({ length: n0 }, (_, i) => ({
    id: i,
    weight: chance(0.8) ? 1 : 2,
    lies: false,
    faulty: false,
    up: true,
    granted: null,
    head: null,
    staged: null,
    known: null,
    rot: new Set(),
    saved: [],
    claims: [],
  }));
  const make = (i, what) => {
    if (i < n0 - 1) hosts[i][what] = hosts[i].faulty = true;
  };
  if (family === 'F1' || F2)
    for (let i = 0, k = F2 ? 1 + pick(2) : 1 + (n0 > 4 && chance(0.3) ? 1 : 0); i < k; i++) make(i, 'lies');
  if (family === 'F3') {
    make(0, 'rolls');
    if (n0 > 4 && chance(0.3)) make(1, 'rolls');
  }
  if (family === 'F13') {
    make(0, 'lies');
    make(1, 'rolls');
  }
  for (const h of hosts)
    if (h.lies) {
      h.echo = N('echo') && chance(0.5);
      h.twoFaced = N('smart') && chance(0.3);
    } // two-faced: harmless when it receives a claim, harmful later
  const f = F2 ? 0 : hosts.reduce((s, h) => s + (h.faulty ? h.weight : 0), 0),
    small = chance(0.5); // small: no batch of more than four events
  const W = (P) => P.hosts.reduce((s, h) => s + h.weight, 0),
    wOf = (P, set) => P.hosts.reduce((s, h) => s + (set.has(h) ? h.weight : 0), 0);
  const weighs = (P, set, f, strict = true) => {
    const w = wOf(P, set),
      t = W(P);
    return w - f > t - P.required && (!strict || w >= P.required);
  };
  const newPolicy = (line, cand = hosts) => {
    let hs = cand.filter(() => chance(0.85));
    if (!hs.length) hs = [of(cand)];
    const P = { hosts: hs, line };
    P.required = family === 'FV' || chance(0.7) ? Math.floor(W(P) / 2) + 1 : 1 + pick(W(P));
    return P;
  };
  // policies in play on a history of which q events are known to have been at quorum: of its highest line, the one in force and all after it
  const inPlay = (n, q) => {
    const out = [];
    for (let p = lastPol[n]; p > 0; p = lastPol[parent[p]]) {
      if (out.length && pol[p].line < out[0].P.line) break;
      out.unshift({ P: pol[p], at: depth[p] });
      if (M('policyNewestOnly') || depth[p] <= q) break;
    }
    return out;
  };
  const qSeq = (P, reach) => {
    const k = P.hosts.map((h) => ({ w: h.weight, s: reach.get(h) ?? 0 })).sort((a, b) => b.s - a.s);
    let w = 0;
    for (const x of k) {
      w += x.w;
      if (w >= P.required) return x.s;
    }
    return 0;
  };
  const quorumUnder = (pols, reach) => {
    if (!pols.length) return 0;
    let seq = qSeq(pols[0].P, reach),
      pending = false;
    for (const { P, at } of pols.slice(1)) {
      const u = qSeq(P, reach);
      pending ||= seq < at || u < at;
      if (!pending) seq = u;
      else if (seq >= at) seq = Math.max(at - 1, Math.min(seq, u));
    }
    return seq;
  };
  const cmp = (a, b) => a.line - b.line || a.epoch - b.epoch || a.seq - b.seq;
  const rank = (s) => (s ? { line: s.line, epoch: s.epoch, seq: depth[s.node] } : { line: 0, epoch: 0, seq: 0 });
  const higher = (a, b) => (!a || (b && cmp(rank(b), rank(a)) > 0) ? b : a),
    whole = (t) => depth[t.node] >= t.base;
  const twin = (a, b) => a && a.line === b.line && a.begun !== b.begun && !M('noBegun'); // two lines of one number
  const sameLine = (a, b) => a.line === b.line && (a.begun === b.begun || M('noBegun'));

  const learn = (h, s) => {
    if (!depth[s.q] && !M('knownZero')) return;
    if (!h.known || s.line > h.known.line || (s.line === h.known.line && depth[s.q] > depth[h.known.q])) h.known = s;
  }; // R10
  const truth = (h) => ({ host: h, st: h.head, staged: h.staged, claim: h.granted });
  const lie = (h, claim) => {
    let st = null,
      staged = null;
    const x = r();
    if (x < 0.15) st = h.head;
    else if (x < 0.85 && pool.length) st = of(pool);
    if (N('smart') && chance(0.4)) {
      const tips = procs.filter((y) => y.alive).map((y) => y.folder.log),
        off = pool.filter((y) => whole(y) && !tips.some((t) => isAnc(y.node, t)));
      if (off.length) st = off.reduce(higher);
    }
    const e = claim?.epoch ?? h.claims.at(-1)?.epoch,
      w = claim?.writer ?? h.claims.at(-1)?.writer;
    if (N('smart') && chance(0.2)) {
      const other = pool.filter((y) => y.epoch === e && y.writer !== w);
      if (other.length) return { host: h, st: null, staged: of(other), claim: claim ?? null };
    } // another writer's, of the same epoch
    if (h.twoFaced) st = claim ? null : pool.reduce(higher, null);
    if (st && !whole(st)) st = null;
    if (chance(0.2) && pool.length) staged = of(pool);
    return { host: h, st, staged, claim: claim ?? (h.claims.length ? of(h.claims) : null) };
  };
  const headOf = (h) => (h.lies && chance(0.7) ? lie(h) : truth(h));
  const hostClaim = (h, c) => {
    h.claims.push(c);
    if (h.echo) return { fenced: c };
    if (h.lies && chance(0.5)) {
      const x = r();
      return x < 0.2 ? { refused: true } : x < 0.5 ? { fenced: of(h.claims) } : { granted: true, head: lie(h, c) };
    }
    const g = h.granted;
    if (g && (c.epoch < g.epoch || (c.epoch === g.epoch && c.writer !== g.writer))) return { fenced: g };
    h.granted = c;
    return { granted: true, head: truth(h) };
  };
  const hostBatch = (h, s, from) => {
    if (h.lies && chance(0.4))
      return chance(0.7) ? { head: { host: h, st: s, staged: null, claim: h.granted } } : { refused: true }; // signs, but stores nothing
    if (h.twoFaced && chance(0.5)) return { head: lie(h) };
    const g = h.granted,
      hd = h.head,
      seq = depth[s.node],
      no = (x) => {
        if (M('knownRefused')) learn(h, s);
        return x;
      };
    if (!g || g.epoch !== s.epoch || (g.writer !== s.writer && !M('noWriter'))) return no({ fenced: g }); // R7
    if (!(from === 0 || (hd && isAnc(from, hd.node)) || (h.staged && isAnc(from, h.staged.node)))) return { gap: true };
    if (!M('noBegunHost'))
      for (const t of [hd, h.known])
        if (twin(t, s)) {
          st8.lineForks++;
          return no({ refused: true, tree: t });
        } // R1: FORKED
    if (!whole(s)) {
      st8.staged++;
      if (M('asideAtOnce') && hd && !isAnc(hd.node, s.node) && !isAnc(s.node, hd.node)) {
        setAside(h, s);
        h.head = null;
      }
      if (!h.staged || s.epoch > h.staged.epoch || (s.epoch === h.staged.epoch && seq >= depth[h.staged.node]))
        h.staged = s;
      learn(h, s);
      return { head: truth(h) };
    }
    if (hd) {
      const same = hd.line === s.line && hd.epoch === s.epoch;
      if (same && !isAnc(hd.node, s.node) && !isAnc(s.node, hd.node)) {
        st8.forks++;
        return no({ refused: true, tree: hd });
      } // FORKED
      if (same && seq <= depth[hd.node]) {
        if (seq === depth[hd.node] && depth[s.q] > depth[hd.q]) h.head = s;
        learn(h, s);
        return { head: truth(h) };
      }
      if (!same && cmp(rank(s), rank(hd)) < 0) return no({ refused: true, tree: hd }); // OLDER
    }
    const k = h.known;
    if (!M('noCommitted') && k && sameLine(k, s) && !(seq >= depth[k.q] ? isAnc(k.q, s.node) : k.epoch >= s.epoch)) {
      st8.committed++;
      if (!h.faulty && !F2 && !cloned) fail('COMMITTED', `host ${h.id} refuses an honest writer`);
      return no({ refused: true, tree: k });
    }
    if (hd && !isAnc(hd.node, s.node)) setAside(h, s);
    h.head = s;
    h.staged = null;
    learn(h, s);
    return { head: truth(h) };
  };
  const setAside = (h, s) => {
    st8.aside++;
    T('ASIDE', h.id, show(h.head), 'for', show(s));
    if (h.faulty) return;
    for (const R of reported)
      if (!R.lost && R.line >= s.line && R.Q.has(h) && isAnc(R.node, h.head.node) && !isAnc(R.node, s.node)) {
        if (F2 && deceived) st8.asideSilent++;
        else
          fail(
            'I3',
            `host ${h.id} sets aside ${depth[R.node]} of ${R.line}(${R.begun}).${R.epoch}, which was at quorum, for ${show(s)}`,
          );
        return;
      }
  };

  // ---- cores. A folder is a log (log, q, elected epoch and base and in which line, restored, f, acks: R3) and a file (the highest epoch claimed)
  const folder = (x) => {
    const fo = {
      logId: ++ids,
      q: 0,
      qe: 0,
      epoch: 0,
      base: 0,
      ebegun: begunOf[x.log],
      acks: new Map(),
      f,
      restored: false,
      ...x,
      file: { maxClaim: x.maxClaim ?? 0 },
    };
    folders.push(fo);
    return fo;
  };
  const copyOf = (fo) => ({ ...fo, acks: new Map(fo.acks), file: { ...fo.file } });
  const start = (fo, file = fo.file, takeover = false) => {
    for (const p of procs) if (p.folder === fo && !takeover) p.alive = false;
    const p = {
      folder: fo,
      file,
      alive: true,
      stopped: null,
      epoch: 0,
      writer: 0,
      elected: false,
      granted: new Map(),
      answered: new Set(),
      reach: new Map(),
      suspended: new Set(),
      late: [],
      base: 0,
      seen: 0,
      saw: 0,
      q: 0,
    };
    fo.owner = p;
    procs.push(p);
    return p;
  };
  const stop = (p, why) => {
    p.stopped = why;
    p.elected = false;
    st8.stops++;
    T('STOP', p.folder.logId, why);
  };
  const mayAppend = (p) => p.folder.owner === p || ((p.alive = false), false); // a core that lost the lease finds out when it appends
  const play = (p) => inPlay(p.folder.log, p.folder.q);
  const peers = (p) =>
    new Set(
      play(p)
        .flatMap(({ P }) => P.hosts)
        .filter((h) => !h.gone),
    );
  const own = (fo) => {
    const begun = begunOf[fo.log];
    return {
      line: lineOf[fo.log],
      begun,
      epoch: fo.ebegun === begun && !M('noOwnRank') ? fo.epoch : 0,
      base: fo.ebegun === begun ? Math.max(fo.base, depth[begun]) : depth[begun],
    };
  };
  const beginLine = (fo, line, P) => {
    maxLine = Math.max(maxLine, line);
    fo.log = node(fo.log, { ...P, line });
    fo.q = 0;
    fo.restored = false;
  };
  const drop = (p) => {
    p.elected = false;
    p.granted.clear();
    p.answered.clear();
    p.reach.clear();
  };
  const newEpoch = (p) => {
    drop(p);
    p.epoch = 1 + Math.max(p.file.maxClaim, p.seen, p.folder.epoch, M('noQuorumEpoch') ? 0 : p.folder.qe);
    p.q = p.folder.q;
    p.file.maxClaim = p.epoch;
    p.writer = ++ids;
    if (p.epoch > 1500) fail('I4', `epochs burnt: ${p.epoch}`);
  };
  const news = (fo, t, since = own(fo).epoch) => {
    // why this log is not the newest, by a head's tree; null: the tree does not show it
    const o = own(fo);
    if (!whole(t)) return null;
    if (t.line > o.line) return 'LINE';
    if (t.line < o.line) return null;
    if (twin(t, o) && !M('noBegunWriter')) return 'LINE';
    return t.epoch >= since && !isAnc(t.node, fo.log) ? (t.epoch === o.epoch ? 'FORKED' : 'BEHIND') : null;
  };
  const offQuorum = (fo, t) => {
    const o = own(fo);
    return !M('noQuorum') && t.line >= o.line && depth[t.q] > 0 && !isAnc(t.q, fo.log)
      ? sameLine(t, o)
        ? 'BEHIND'
        : 'LINE'
      : null;
  };
  const fenced = (p, by) => {
    // R5
    if (!by || by.epoch < p.epoch || (by.epoch === p.epoch && by.writer === p.writer && !M('literalFenced')))
      return false;
    if (M('claimStops') && by.log !== p.folder.logId) {
      stop(p, 'FENCED');
      return true;
    }
    p.seen = Math.max(p.seen, by.epoch);
    p.epoch = 0;
    drop(p);
    return true;
  };
  const accuse = (p, h, why) => {
    st8.caught++;
    if (!h.faulty) fail('I6', `honest host ${h.id} is accused: ${why}`);
    p.suspended.add(h);
    p.granted.delete(h);
    p.reach.delete(h);
    return false;
  };
  // ---- the product's own rules, on what the model knows: with every rule enabled both must decide the same
  const shownOf = (fo, t) =>
    t && {
      line: t.line,
      epoch: t.epoch,
      sequence: depth[t.node],
      quorum: depth[t.q],
      writer: String(t.writer),
      isComplete: whole(t),
      isOfOwnBeginning: t.begun === own(fo).begun,
      isOnLog: isAnc(t.node, fo.log),
      isQuorumOnLog: isAnc(t.q, fo.log),
    };
  const ownOf = (fo) => ({ ...own(fo), quorum: fo.q, isRestored: fo.restored });
  const ballotOf = (p) => ({
    own: ownOf(p.folder),
    policies: play(p).map(({ P }) => ({
      required: P.required,
      hosts: P.hosts.map((h) => ({ host: String(h.id), weight: h.weight })),
    })),
    granted: new Map(
      [...p.granted].map(([h, x]) => [
        String(h.id),
        { tree: shownOf(p.folder, x.st), staged: shownOf(p.folder, x.staged) },
      ]),
    ),
    dishonest: p.folder.f,
    epoch: p.epoch,
    signable: p.q,
    isEveryHostHeard: ![...peers(p)].some((h) => h.up && !p.suspended.has(h) && !p.answered.has(h)),
  });
  const held = (what, mine, product) => {
    if (JSON.stringify(mine) !== JSON.stringify(product))
      fail('PRODUCT', `${what}: ${JSON.stringify(mine)} in the model, ${JSON.stringify(product)} in the product`);
  };
  const meetTree = (p, t, staged = false) => {
    if (!t || !p.elected || p.stopped || mut.size) return meetByRules(p, t, staged);
    const product = decideMeeting(
      shownOf(p.folder, t),
      { own: ownOf(p.folder), epoch: p.epoch, writer: String(p.writer) },
      staged ? 'staged' : 'head',
    );
    meetByRules(p, t, staged);
    held('a tree', p.stopped ?? (p.epoch === 0 ? 'CLAIM_AGAIN' : 'GO_ON'), product);
  };
  const meetByRules = (p, t, staged) => {
    // R12: a tree is shown to an elected writer
    if (!t || !p.elected || p.stopped || M('noR12')) return;
    const fo = p.folder,
      o = own(fo);
    if (
      sameLine(t, o) &&
      t.epoch === p.epoch &&
      (t.writer === p.writer || M('forkAnyWriter')) &&
      !isAnc(t.node, fo.log)
    ) {
      if (o.epoch <= p.epoch) {
        if (!cloned) fail('I6', `FORKED without a fork: ${show(t)} against ${p.epoch}w${p.writer}`);
        return stop(p, 'FORKED');
      }
      // Another process of this log was elected above: this epoch is over.
      return claimAgain(p, t);
    }
    const why = (!staged && news(fo, t, M('newsBefore') ? p.before : undefined)) || offQuorum(fo, t);
    if (!why) return;
    p.saw = Math.max(p.saw, t.line);
    if (why === 'LINE' && !M('lineAgain')) return stop(p, 'LINE');
    claimAgain(p, t);
  };
  const claimAgain = (p, t) => {
    st8.again++;
    p.seen = Math.max(p.seen, t.epoch);
    p.epoch = 0;
    drop(p);
  };
  const meet = (p, h, head, at) => {
    // a head that the writer receives, in answer to what it sent at the time `at`
    if (head.st && !whole(head.st)) return accuse(p, h, `incomplete head ${show(head.st)}`);
    const b = p.folder.acks.get(h);
    if (b && cmp(rank(head.st), b.rank) < 0 && (at > b.at || M('noSentAfter')))
      return accuse(p, h, `(d) ${show(head.st)} after ${JSON.stringify(b)}`); // R8
    p.granted.set(h, head);
    meetTree(p, head.st);
    meetTree(p, head.staged, true);
    return !p.stopped && p.epoch > 0;
  };
  const later = (p, fn) => {
    if (N('race') && lossy && chance(0.3)) {
      p.late.push(fn);
      st8.late++;
    } else fn();
  };
  const claimAt = (p, h) => {
    if (p.suspended.has(h) || h.gone || !p.epoch || p.stopped) return;
    const c = { host: h, epoch: p.epoch, writer: p.writer, log: p.folder.logId },
      at = ++clock,
      a = hostClaim(h, c);
    claimsSent.push([h, c]);
    if (lossy && chance(0.06)) return;
    later(p, () => {
      if (p.epoch !== c.epoch || p.writer !== c.writer || p.stopped || !p.alive) return;
      p.answered.add(h);
      if (a.granted) {
        if (meet(p, h, a.head, at)) elect(p);
      } else if (!fenced(p, a.fenced)) elect(p);
    });
  };
  // I9: what a tree of an epoch states was at quorum is below the base of every later election of its line, and on its log (4.5c relies on it)
  const sound = (t, e) => {
    if (
      e.begun === t.begun &&
      e.epoch > t.epoch &&
      (depth[t.q] > e.base || !isAnc(t.q, e.node)) &&
      !cloned &&
      !F2 &&
      !bad.length
    )
      fail(
        'I9',
        `a tree of epoch ${t.epoch} states that ${depth[t.q]} were at quorum; elected at ${e.epoch} with base ${e.base}`,
      );
  };
  const elect = (p) => {
    if (p.elected || p.stopped || !p.epoch || !p.alive || mut.size) return electByRules(p);
    const product = decideElection(ballotOf(p)),
      won = st8.elected;
    electByRules(p);
    if (!p.alive) return; // it has lost the lease
    const { is, news, base, quorum, signable } = product;
    held(
      'an election',
      st8.elected > won
        ? ['ELECTED', p.base, p.electedOn.q, p.electedOn.pq]
        : p.stopped
          ? ['STOPPED', p.stopped]
          : ['OPEN'],
      is === 'ELECTED' ? [is, base, quorum, signable] : is === 'STOPPED' ? [is, news] : [is],
    );
  };
  const electByRules = (p) => {
    if (p.elected || p.stopped || !p.epoch || !p.alive) return;
    const fo = p.folder,
      o = own(fo),
      pols = play(p),
      set = new Set(p.granted.keys()),
      enough = () => pols.every(({ P }) => weighs(P, set, fo.f));
    if (!pols.length || !enough()) return;
    const strange = new Map([...p.granted].map(([h, x]) => [h, x.st && news(fo, x.st)]).filter(([, why]) => why)),
      why = () => ([...strange.values()].includes('LINE') ? 'LINE' : [...strange.values()][0]);
    for (const h of strange.keys()) p.saw = Math.max(p.saw, p.granted.get(h).st.line);
    if (M('bestOnly') && !fo.restored) {
      const b = [...p.granted.values()].map((x) => x.st).reduce(higher, null);
      if (b && news(fo, b)) return stop(p, 'BEHIND');
    } else if (strange.size && (!fo.restored || M('noLeaveOut') || (why() === 'LINE' && !M('lineLeftOut'))))
      return stop(p, why());
    for (const h of strange.keys()) set.delete(h);
    if (!M('bestOnly') && !enough()) {
      if (!M('noWait') && [...peers(p)].some((h) => h.up && !p.suspended.has(h) && !p.answered.has(h))) return;
      return stop(p, why());
    } // R6
    const trees = [...p.granted.values()].flatMap((x) => [x.st, x.staged]).filter(Boolean);
    for (const t of trees) {
      const y = offQuorum(fo, t);
      if (y) {
        p.saw = Math.max(p.saw, t.line);
        return stop(p, y);
      }
    }
    for (const [h, x] of p.granted)
      if (
        x.st &&
        x.st.line > o.line &&
        !h.faulty &&
        reported.some(
          (R) => !R.lost && R.line > o.line && R.Q.has(h) && isAnc(R.node, x.st.node) && !isAnc(R.node, fo.log),
        )
      ) {
        fail(
          'I2L',
          `elected at ${p.epoch} in line ${o.line} though honest host ${h.id} shows ${show(x.st)}, of a quorum there`,
        );
        break;
      }
    if (!mayAppend(p)) return;
    if (!M('noQuorum'))
      for (const t of trees)
        if (sameLine(t, o) && isAnc(t.q, fo.log)) {
          if (depth[t.q] > fo.q) {
            fo.q = depth[t.q];
            fo.qe = t.epoch;
          }
          if (t.epoch <= p.epoch || M('noQuorumEpoch')) p.q = Math.max(p.q, depth[t.q]);
        }
    let base = M('noOwnBase') ? 0 : Math.max(o.base, fo.q);
    for (const h of set) {
      const t = p.granted.get(h).st;
      if (t && isAnc(t.node, fo.log)) base = Math.max(base, depth[t.node]);
    }
    if (M('noBase')) base = 0;
    if (base > depth[fo.log]) fail('I8', `base ${base} above its own length ${depth[fo.log]}`);
    for (const R of reported)
      if (!R.lost && R.line === o.line) {
        const met = [...R.Q].some((h) => !h.faulty && set.has(h));
        if (R.begun === o.begun && !met) deceived = true;
        if (!isAnc(R.node, fo.log) && R.epoch < p.epoch && (R.begun === o.begun || met) && !(F2 && deceived)) {
          fail(
            'I2',
            `elected at ${p.epoch} in line ${o.line}(${o.begun}) without ${depth[R.node]} of ${R.line}(${R.begun}).${R.epoch}`,
          );
          break;
        }
      }
    elections.push({ epoch: p.epoch, writer: p.writer, begun: o.begun, set: new Set(set), base, node: fo.log });
    st8.elected++;
    for (const t of pool) sound(t, elections.at(-1));
    p.before = o.epoch;
    Object.assign(fo, { epoch: p.epoch, base, ebegun: o.begun });
    p.base = base;
    p.elected = true;
    p.electedOn = { q: fo.q, pq: p.q };
    if (fo.restored) {
      fo.restored = false;
      fo.log = node(fo.log);
    } // a restored log records its policy again
    T(
      'ELECTED',
      p.epoch,
      'w',
      p.writer,
      'log',
      fo.logId,
      'len',
      depth[fo.log],
      `#${fo.log}`,
      'base',
      base,
      'by',
      [...set].map((h) => h.id).join(),
    );
    for (const x of [...p.granted.values()]) {
      meetTree(p, x.st);
      meetTree(p, x.staged, true);
    }
  };
  const ship = (p, h, all = false) => {
    if (p.stopped || !p.alive || !p.epoch || p.suspended.has(h) || h.gone) return;
    if (!p.granted.has(h)) claimAt(p, h);
    const fo = p.folder,
      hd = p.granted.get(h);
    if (!hd || p.stopped || !p.epoch) return;
    let common = hd.st ? lca(hd.st.node, fo.log) : 0;
    if (hd.staged && isAnc(hd.staged.node, fo.log) && depth[hd.staged.node] > depth[common]) common = hd.staged.node;
    const to = all && !small ? depth[fo.log] : Math.min(depth[fo.log], depth[common] + pick(5));
    if (to === 0) return;
    const s = {
      line: lineOf[fo.log],
      begun: begunOf[fo.log],
      epoch: p.epoch,
      writer: p.writer,
      base: p.elected ? p.base : INF,
      node: anc(fo.log, to),
      q: M('noQuorum') ? 0 : anc(fo.log, M('sharedQ') ? fo.q : p.q),
    }; // never what another core wrote to the shared log since this one's claim
    pool.push(s);
    for (const e of elections) sound(s, e);
    const at = ++clock,
      a = hostBatch(h, s, common);
    sent.push([h, s, common]);
    if (lossy && chance(0.06)) {
      p.granted.delete(h);
      return;
    }
    later(p, () => shipped(p, h, s, at, a));
  };
  const shipped = (p, h, s, at, a) => {
    if (p.epoch !== s.epoch || p.writer !== s.writer || p.stopped || !p.alive) return;
    const fo = p.folder;
    if (a.fenced !== undefined) {
      p.granted.delete(h);
      if (!fenced(p, a.fenced)) claimAt(p, h);
      return;
    }
    if (!a.head) {
      p.granted.delete(h);
      meetTree(p, a.tree);
      return;
    }
    const x = a.head.st,
      g = a.head.staged,
      kept = (t) => t && sameLine(t, s) && t.epoch === s.epoch && t.node === s.node;
    if (
      whole(s)
        ? cmp(rank(x), rank(s)) < 0
        : !kept(x) &&
          !kept(g) &&
          !(!M('noStagedProof') && g && sameLine(g, s) && g.epoch === s.epoch && depth[g.node] > depth[s.node])
    ) {
      accuse(p, h, `(b) ${show(x)} and ${show(g)} after ${show(s)}`);
      return;
    } // R8
    if (!meet(p, h, a.head, at)) return;
    if (
      !p.elected ||
      !x ||
      x.epoch !== p.epoch ||
      x.writer !== p.writer ||
      !sameLine(x, own(fo)) ||
      !isAnc(x.node, fo.log)
    )
      return;
    p.reach.set(h, Math.max(p.reach.get(h) ?? 0, depth[x.node]));
    if (fo.owner === p) fo.acks.set(h, { rank: rank(x), at: ++clock });
    const q = quorumUnder(play(p), p.reach);
    if (q <= fo.q || !mayAppend(p)) return;
    const Q = new Set([...p.reach].filter(([, n]) => n >= q).map(([y]) => y)),
      n = anc(fo.log, q),
      o = own(fo);
    for (const e of elections)
      if (
        e.begun === o.begun &&
        (e.epoch > p.epoch || (e.epoch === p.epoch && e.writer !== p.writer)) &&
        ![...Q].some((y) => !y.faulty && e.set.has(y))
      )
        deceived = true;
    if (!(F2 && deceived))
      for (const R of reported)
        if (!R.lost && R.begun === o.begun && !isAnc(R.node, n) && !isAnc(n, R.node)) {
          fail(
            'I7',
            `two histories of one line at quorum: ${depth[R.node]} of epoch ${R.epoch}, ${q} of epoch ${p.epoch}`,
          );
          break;
        }
    T('QUORUM', q, `#${n}`, 'epoch', p.epoch, [...Q].map((y) => y.id).join());
    fo.q = p.q = q;
    fo.qe = p.epoch;
    st8.reported++;
    reported.push({ node: n, line: o.line, begun: o.begun, epoch: p.epoch, Q, lost: false });
  };

  // ---- reading: one decision for restore, drill and repair
  const upTo = (n, history) => {
    let p = lastPol[n];
    while (p > 0 && depth[p] > depth[history]) {
      n = parent[p];
      p = lastPol[n];
    }
    return n;
  };
  const forkOf = (same, cand, line) => {
    // the tips of one line and epoch, and which of them can have been at quorum
    const tips = [...new Set(same.map((s) => s.node))].filter(
      (n) => !same.some((s) => s.node !== n && isAnc(n, s.node)),
    );
    if (tips.length < 2) return { tips, possible: tips };
    const fork = tips.reduce(lca);
    let fq = 0;
    for (const s of line) if (isAnc(s.q, fork)) fq = Math.max(fq, depth[s.q]);
    const Ps = inPlay(fork, fq).map((x) => x.P);
    return {
      tips,
      possible: tips.filter((tip) => {
        const off = new Set(
          cand
            .filter(
              (x) =>
                !(
                  isAnc(tip, x.st.node) ||
                  (isAnc(x.st.node, tip) && same.includes(x.st) && tips.every((y) => y === tip || !isAnc(x.st.node, y)))
                ),
            )
            .map((x) => x.host),
        );
        return Ps.some((P) => W(P) - wOf(P, off) + f >= P.required);
      }),
    };
  };
  const evaluate = (heads, gives) => {
    const counted = new Set(heads.map((x) => x.host)),
      all = heads.flatMap((x) => [x.st, x.staged]).filter(Boolean),
      has = (n) => heads.some((x) => gives(x.host, n));
    let no;
    for (;;) {
      const cand = heads.filter((x) => counted.has(x.host) && x.st),
        best = cand.map((x) => x.st).reduce(higher, null);
      if (!best) return no ?? { no: 'nothing' };
      const missing = path(best.node).filter((n) => !has(n));
      if (missing.length) {
        no ??= { no: 'missing' };
        for (const x of cand) if (missing.some((n) => isAnc(n, x.st.node))) counted.delete(x.host);
        continue;
      }
      let history = best.node;
      const line = all.filter((t) => sameLine(t, best));
      if (!M('noBegunReader') && heads.some((x) => twin(x.st, best))) return { no: 'line', best }; // R1
      if (!M('noFork')) {
        const { tips, possible } = forkOf(
          cand.map((x) => x.st).filter((s) => sameLine(s, best) && s.epoch === best.epoch),
          cand,
          line,
        );
        if (tips.length > 1) {
          st8.forks++;
          if (possible.length !== 1) return { no: 'fork', best };
          history = possible[0];
          const absent = path(history).filter((n) => !has(n));
          if (absent.length) {
            no ??= { no: 'missing' };
            for (const x of cand) if (absent.some((n) => isAnc(n, x.st.node))) counted.delete(x.host);
            continue;
          }
        }
      }
      let q = 0,
        qe = 0;
      for (const s of line)
        if (isAnc(s.q, history) && depth[s.q] > q) {
          q = depth[s.q];
          qe = s.epoch;
        }
      const pols = inPlay(history, q);
      if (!pols.length) return { no: 'no policy' };
      if (!pols.every(({ P }) => weighs(P, counted, f, false))) {
        no ??= { no: 'weight', best };
        for (const x of cand) if (cmp(rank(x.st), rank(best)) === 0) counted.delete(x.host);
        continue;
      }
      if (!M('noQuorum') && !M('noQuorumCheck'))
        for (const t of all)
          if (
            (sameLine(t, best) || (!M('noHigher') && t.line > best.line) || (!M('noBegunReader') && twin(t, best))) &&
            depth[t.q] &&
            !isAnc(t.q, history)
          ) {
            st8.qRefused++;
            return { no: sameLine(t, best) ? 'quorum' : 'line', best };
          } // R2
      if (!M('mayLower') && heads.some((x) => x.st && x.st.line > best.line)) return { no: 'line', best }; // R2+: never below a line that a head shows
      const base = M('baseBest') ? depth[best.node] : depth[history];
      let ext = null;
      for (const s of line)
        if (isAnc(history, s.node) && s.node !== history && path(s.node).every(has)) {
          const cut = upTo(s.node, history);
          if (cut !== history && (!ext || depth[cut] > depth[ext])) ext = cut;
        }
      if (ext) {
        st8.tails++;
        history = ext;
      }
      return { ok: true, history, base, best, q, qe, counted };
    }
  };
  // The product's own rules of reading: called repeatedly until they need no more trees.
  const readerOf = (heads, gives) => {
    const nodes = new Map(),
      shown = new Map(),
      tried = new Set(),
      has = (n) => heads.some((x) => gives(x.host, n));
    const of = (t) => {
      if (t && !shown.has(t)) {
        shown.set(t, { line: t.line, epoch: t.epoch, sequence: depth[t.node], quorum: depth[t.q] });
        nodes.set(shown.get(t), t);
      }
      return t ? shown.get(t) : null;
    };
    const reader = {
      dishonest: f,
      heard: heads.map((x) => ({
        host: String(x.host.id),
        tree: of(x.st),
        staged: of(x.staged),
        isCounted: true,
      })),
      relations: {
        isOneBeginning: (a, b) => nodes.get(a).begun === nodes.get(b).begun,
        common: (a, b) => depth[lca(nodes.get(a).node, nodes.get(b).node)],
        isQuorumOn: (a, b) => isAnc(nodes.get(a).q, nodes.get(b).node),
      },
      gotten: {
        missing: (t) =>
          tried.has(t)
            ? path(nodes.get(t).node)
                .filter((n) => !has(n))
                .map((n) => depth[n])
            : undefined,
        policies: (t) =>
          path(nodes.get(t).node)
            .reverse()
            .filter((n) => pol[n])
            .map((n) => ({
              line: pol[n].line,
              sequence: depth[n],
              policy: {
                required: pol[n].required,
                hosts: pol[n].hosts.map((h) => ({ host: String(h.id), weight: h.weight })),
              },
            })),
      },
    };
    return { reader, tried, nodeOf: (t) => nodes.get(t).node };
  };
  const readByProduct = (heads, gives, decide = decideReading) => {
    const { reader, tried, nodeOf } = readerOf(heads, gives);
    for (;;) {
      const reading = decide(reader);
      if (reading.is !== 'OPEN') return { ...reading, nodeOf };
      tried.add(reading.get);
    }
  };
  const WHY = {
    nothing: 'NOTHING',
    missing: 'MISSING',
    fork: 'FORK',
    line: 'LINE',
    quorum: 'QUORUM',
    weight: 'WEIGHT',
    'no policy': 'POLICY',
  };
  const holdReading = (heads, gives, res) => {
    const p = readByProduct(heads, gives);
    held(
      'a reading',
      res.ok
        ? ['READ', res.history, res.base, res.q, res.qe, [...res.counted].map((h) => String(h.id)).sort()]
        : ['REFUSED', WHY[res.no]],
      p.is === 'READ'
        ? [
            p.is,
            p.tail ? anc(p.nodeOf(p.tail.tree), p.tail.length) : p.nodeOf(p.history),
            p.history.sequence,
            p.quorum,
            p.quorumEpoch,
            [...p.counted].sort(),
          ]
        : [p.is, p.why],
    );
  };
  const givesOf = () => {
    const will = new Map(hosts.map((h) => [h, h.lies ? r() : 1]));
    return (h, n) => {
      if (h.gone) return false;
      if (h.lies) return will.get(h) > 0.5 || (will.get(h) > 0.25 && n % 3 > 0);
      const has = (h.head && isAnc(n, h.head.node)) || (h.staged && isAnc(n, h.staged.node));
      return has && !(M('pageDamage') ? path(h.head?.node ?? 0).some((x) => h.rot.has(x)) : h.rot.has(n));
    };
  };
  let lastNo = '',
    lastQ = 0;
  const restore = (heard, acceptLoss, P = null, early = [], nR = Infinity) => {
    st8.restores++;
    const heads = [...early, ...heard.map(headOf)],
      gives = givesOf(),
      res = evaluate(heads, gives),
      top = heads.flatMap((x) => [x.st, x.staged]).filter(Boolean),
      maxClaim = Math.max(0, ...top.map((t) => t.epoch), ...heads.map((x) => x.claim?.epoch ?? 0));
    if (!mut.size) holdReading(heads, gives, res);
    T(
      'RESTORE',
      res.ok ? `${depth[res.history]} q ${res.q} of ${show(res.best)}` : res.no,
      heads.map((x) => `${x.host.id}${x.host.lies ? '!' : ''}:${show(x.st)}/${show(x.staged)}`).join(' '),
    );
    if (res.ok) {
      const H = res.history,
        b = res.best,
        Rs = reported.filter((R, i) => i < nR && !R.lost),
        heardQ = (R) => heads.find((x) => !x.host.faulty && R.Q.has(x.host) && x.st);
      st8.restored++;
      const overlap = Rs.every((R) => R.begun !== b.begun || [...R.Q].some((h) => !h.faulty && res.counted.has(h)));
      if (overlap && !deceived) st8.exact++;
      for (const R of Rs)
        if (R.begun === b.begun && !isAnc(R.node, H)) {
          if (F2 && (deceived || !overlap)) {
            st8.silent++;
            break;
          }
          fail('I1', `restored ${depth[H]} of ${show(b)}; ${depth[R.node]} of epoch ${R.epoch} was REPLICATED`);
          break;
        }
      for (const R of Rs)
        if (R.line === b.line && R.begun !== b.begun && !isAnc(R.node, H) && heardQ(R)?.st.line === b.line) {
          fail(
            'I1L',
            `restored ${show(b)}; a host shows the other line ${R.line}(${R.begun}), where ${depth[R.node]} was REPLICATED`,
          );
          break;
        }
      for (const x of heads)
        for (const t of [x.st, x.staged])
          if (t && t.line > b.line && depth[t.q] && !isAnc(t.q, H) && !bad.length)
            fail('I1L', `restored ${show(b)} though host ${x.host.id} shows ${show(t)}`);
      if (Rs.some((R) => R.line > b.line && !isAnc(R.node, H) && heardQ(R))) {
        st8.lineSilent++;
        if (!bad.length) fail('I1S', `restored ${show(b)}, an honest host of a quorum in a higher line was heard`);
      }
      lastQ = res.q;
      return folder({
        log: H,
        q: M('noRestoreQ') ? 0 : res.q,
        qe: res.qe,
        f: M('noRestoreF') ? 0 : f,
        epoch: b.epoch,
        base: res.base,
        restored: true,
        maxClaim,
      }); // R4
    }
    st8.refused++;
    if (res.no === 'line') st8.lineRefused++;
    lastNo = `${res.no} ${show(res.best)}`;
    if (!acceptLoss) return null;
    // R9: accepted loss. The highest head that can be fetched completely and lacks no quorum that can be fetched; else the furthest history on the highest such quorum
    const can = (n) => path(n).every((y) => heads.some((z) => gives(z.host, y))),
      quorums = top.filter((t) => depth[t.q] && can(t.q) && top.some((u) => isAnc(t.q, u.node))); // only trees that are shown are read
    const wholeHeads = heads.map((x) => x.st).filter((t) => t && can(t.node)),
      good = wholeHeads.filter((t) => !quorums.some((y) => (y.line > t.line || sameLine(y, t)) && !isAnc(y.q, t.node)));
    let took = M('furthest') ? null : good.reduce(higher, null),
      listed = [];
    if (took && !M('lossLongest')) {
      // two tips of one line and epoch: the possible one; more than one: --history chooses
      const same = good.filter((t) => sameLine(t, took) && t.epoch === took.epoch),
        { tips, possible } = forkOf(
          same,
          heads.filter((x) => x.st),
          top.filter((t) => sameLine(t, took)),
        );
      if (tips.length > 1) {
        if (!cloned && !F2) fail('I10', 'two tips of one epoch without a clone');
        const c = possible.length ? possible : tips,
          n = of(c);
        took = same.find((t) => t.node === n);
        if (c.length > 1) {
          listed = c;
          st8.history++;
        } else st8.decided++;
      }
    }
    const nodesOf = (nodes) => [...nodes].sort((a, b) => a - b);
    let to = took?.node ?? 0;
    const yq =
      M('furthest') || M('furthestElse')
        ? null
        : quorums.reduce(
            (a, b) => (!a || b.line > a.line || (b.line === a.line && depth[b.q] > depth[a.q]) ? b : a),
            null,
          );
    if (!to)
      for (const t of top) {
        let ok = 0;
        for (const y of path(t.node).reverse()) {
          if (!heads.some((z) => gives(z.host, y))) break;
          ok = y;
        }
        if (depth[ok] > depth[to] && (!yq || isAnc(yq.q, ok))) {
          to = ok;
          took = yq ?? t;
        }
      }
    if (!mut.size) {
      const p = readByProduct(heads, gives, decideAcceptedLoss),
        nodes = (trees) => [...new Set(trees.map(p.nodeOf))].sort((a, b) => a - b);
      held(
        'an accepted loss',
        listed.length ? ['FORKED', nodesOf(listed)] : to ? ['TAKEN', to] : ['NOTHING'],
        p.is === 'FORKED' ? [p.is, nodes(p.tips)] : p.is === 'TAKEN' ? [p.is, anc(p.nodeOf(p.tree), p.length)] : [p.is],
      );
    }
    if (!to) return null;
    st8.accepted++;
    for (const R of reported)
      if (!R.lost && !isAnc(R.node, to)) {
        const x = heads.find(
          (y) => !y.host.faulty && R.Q.has(y.host) && y.st && isAnc(R.node, y.st.node) && can(y.st.node),
        );
        if (
          x &&
          (sameLine(took, R) || took.line < R.line) &&
          !(F2 && deceived) &&
          !listed.some((n) => isAnc(R.node, n))
        )
          fail(
            'I10',
            `accepted loss takes ${depth[to]}#${to}; ${depth[R.node]} of ${R.line}.${R.epoch} was REPLICATED and can be got whole`,
          );
        R.lost = true;
      }
    for (const y of quorums)
      if (
        took.line <= y.line &&
        !(took.line === y.line && took.begun !== y.begun) &&
        !isAnc(y.q, to) &&
        !quorums.some((z) => z.line > y.line) &&
        !quorums.some((z) => z.line === y.line && !isAnc(z.q, y.q) && !isAnc(y.q, z.q)) &&
        !bad.length
      )
        fail('I10', `accepted loss takes ${depth[to]}#${to}, which lacks the quorum of ${show(y)}, that can be got`);
    const seen = 1 + Math.max(0, ...top.map((t) => t.line)),
      L = N('lines') ? seen : Math.max(seen, 1 + maxLine);
    const fo = folder({ log: to, maxClaim, f });
    beginLine(fo, L, P ?? newPolicy(L, heard.length ? heard : hosts));
    return fo;
  };

  // ---- a history
  start(folder({ log: node(0, newPolicy(1)) }));
  const kinds = [
    ['updown', 3],
    ['crash', 2],
    ['copy', 1.5],
    ['putback', 1.5],
    ['restore', 3],
    ['policy', 2],
    ['append', 17],
    ['elect', 10],
    ['old', 0.3],
    ['family', 1.2],
    ['ship', 58.5],
  ];
  if (N('begin')) kinds.push(['begin', 1]);
  if (N('lease')) kinds.push(['lease', 1]);
  if (N('race')) kinds.push(['deliver', 25]);
  if (N('forward')) kinds.push(['forward', 2]);
  kinds.push(['rot', N('loss') ? 3 : 0.2]);
  for (const k of kinds) if (process.env.SWARM) k[1] *= 2 ** (5 * r() - 2.5);
  const total = kinds.reduce((s, k) => s + k[1], 0),
    draw = () => {
      let u = r() * total,
        i = 0;
      while (u > kinds[i][1] && i < kinds.length - 1) u -= kinds[i++][1];
      return kinds[i][0];
    };
  const goesOn = (fo) => {
    if (!fo) return;
    start(fo);
    if (chance(0.5)) for (const q of procs) if (q.folder !== fo && chance(0.7)) q.alive = false;
  };
  const forward = (h) => {
    const g = h.granted && pool.filter((s) => s.epoch === h.granted.epoch);
    if (!g?.length) return;
    const s = of(g),
      have = [h.head, h.staged].filter(Boolean).map((y) => lca(y.node, s.node));
    if (s.writer !== h.granted.writer) st8.forwarded++;
    hostBatch(
      h,
      s,
      have.reduce((a, b) => (depth[b] > depth[a] ? b : a), 0),
    );
  };
  const tryElect = (p, hs) => {
    if (!p.epoch) newEpoch(p);
    for (const h of shuffled(hs)) if (p.epoch && !p.stopped && p.alive) claimAt(p, h);
  };
  let pend = null;
  for (let step = 0; step < steps && !bad.length; step++) {
    const alive = procs.filter((p) => p.alive && !p.stopped),
      p = alive.length ? of(alive) : null,
      k = draw(),
      x = p || ['updown', 'old', 'rot', 'forward', 'putback'].includes(k) ? k : 'restore',
      mine = p && p.folder.owner === p;
    if (x === 'updown') for (const h of hosts) h.up = chance(0.75);
    else if (x === 'crash') {
      p.alive = false;
      if (chance(0.6)) {
        if (mine) start(p.folder, p.file);
      } else if (chance(0.5)) folders.splice(folders.indexOf(p.folder), 1);
    } // sometimes the machine is lost
    else if (x === 'copy') copies.push(copyOf({ ...p.folder, file: p.file }));
    else if (x === 'putback' && copies.length) {
      let fo = copyOf(of(copies));
      const others = [...copies, ...folders].filter((y) => y.logId === fo.logId);
      if (N('torn') && others.length && chance(0.5)) {
        const y = of(others);
        st8.torn++;
        fo.file = chance(0.2) ? { maxClaim: 0 } : { ...y.file };
        if (M('noLogState'))
          Object.assign(fo, { epoch: y.epoch, base: y.base, ebegun: y.ebegun, restored: y.restored, q: y.q });
      }
      folders.push(fo);
      start(fo);
    } else if (x === 'lease' && mine) {
      st8.lease++;
      if (M('noLogState')) Object.assign(p.folder, { epoch: 0, base: 0, restored: false, q: 0 });
      p.folder.file = { maxClaim: chance(0.5) ? 0 : p.file.maxClaim };
      start(p.folder, p.folder.file, true);
    } // R3
    else if (x === 'restore') {
      if (N('slow') && chance(0.4)) {
        if (!pend) {
          const hs = hosts.filter((h) => h.up && chance(0.5));
          pend = { early: hs.map(headOf), had: new Set(hs), nR: reported.length };
        } else {
          const { early, had, nR } = pend;
          pend = null;
          goesOn(
            restore(
              hosts.filter((h) => h.up && !had.has(h)),
              false,
              null,
              early,
              nR,
            ),
          );
        }
      } else {
        const fo = restore(
          hosts.filter((h) => h.up && chance(0.8)),
          chance(N('loss') ? 0.4 : 0.1),
        );
        goesOn(fo);
        if (!fo && !p && folders.length && chance(0.7)) start(of(folders));
      }
    } else if (x === 'policy' && mine && depth[p.folder.log] > 1)
      p.folder.log = node(p.folder.log, newPolicy(lineOf[p.folder.log]));
    else if (x === 'begin' && mine) {
      const up = hosts.filter((h) => h.up),
        L = N('lines') ? lineOf[p.folder.log] + 1 : maxLine + 1;
      st8.beganMid++;
      if (N('lines') && chance(0.4)) {
        const fo = copyOf({ ...p.folder, file: p.file });
        folders.push(fo);
        beginLine(fo, L, newPolicy(L, up.length ? up : hosts));
        start(fo);
      } // and another operator does the same with a copy
      beginLine(p.folder, L, newPolicy(L, up.length ? up : hosts));
      start(p.folder, p.file);
    } else if (x === 'append' && mine) for (let i = 1 + pick(3); i > 0; i--) p.folder.log = node(p.folder.log);
    else if (x === 'elect')
      tryElect(
        p,
        [...peers(p)].filter((h) => h.up && chance(0.6)),
      );
    else if (x === 'deliver' && p.late.length) p.late.splice(pick(p.late.length), 1)[0]();
    else if (x === 'forward' && pool.length) for (let i = 0; i < 3; i++) forward(of(hosts));
    else if (x === 'old') {
      if (sent.length) hostBatch(...of(sent));
      if (claimsSent.length) hostClaim(...of(claimsSent));
    } else if (x === 'family' && hosts.some((h) => h.rolls)) {
      const h = of(hosts.filter((y) => y.rolls));
      if (h.saved.length && chance(0.5)) Object.assign(h, of(h.saved));
      else h.saved.push({ granted: h.granted, head: h.head, staged: h.staged, known: h.known });
    } else if (x === 'family' && family === 'FV' && chance(0.5) && p.epoch && mine) {
      const fo = copyOf({ ...p.folder, file: p.file });
      folders.push(fo);
      fo.owner = {
        ...p,
        folder: fo,
        file: fo.file,
        granted: new Map(p.granted),
        answered: new Set(p.answered),
        reach: new Map(p.reach),
        suspended: new Set(p.suspended),
        late: [],
      };
      procs.push(fo.owner);
      cloned = true;
    } else if (x === 'rot') {
      const h = of(hosts);
      if (!h.lies && h.head) h.rot.add(of(path(h.head.node)));
    } else if (x === 'ship') {
      const hs = [...peers(p)].filter((h) => h.up);
      if (hs.length) ship(p, of(hs), chance(0.1));
      if (chance(N('loss') ? 0.01 : 0.05)) of(hosts).rot.clear();
    }
  }

  // ---- I11: clones, faults stop; every core reaches a quorum or is stopped
  if (family === 'FV' && cloned && !bad.length) {
    lossy = false;
    for (const h of hosts) h.up = true;
    for (const p of procs) {
      p.late = [];
      if (p.folder.owner !== p) p.alive = false;
    }
    const ps = procs.filter((p) => p.alive && !p.stopped),
      ok = (p) => p.stopped || !p.alive || (p.elected && p.folder.q === depth[p.folder.log]);
    for (let round = 0; round < 2000 && !ps.every(ok); round++) {
      const p = of(ps);
      for (let i = 0; i < 12 && !p.stopped; i++) {
        tryElect(
          p,
          [...peers(p)].filter((h) => !p.granted.has(h)),
        );
        for (const h of shuffled(peers(p))) ship(p, h, true);
        if (ok(p)) break;
      }
    }
    const w = ps.find((p) => !ok(p));
    if (w && !bad.length)
      fail(
        'I11',
        `a core neither reaches quorum nor stops: ${w.epoch}w${w.writer} elected ${w.elected} quorum ${w.folder.q} of ${depth[w.folder.log]}`,
      );
  }
  // ---- I5: faults stop, dishonest hosts remain dishonest. A restore, its core and all honest hosts must reach one history
  end: if (!bad.length) {
    lossy = false;
    for (const h of hosts) h.up = true;
    for (const p of procs) p.alive = false;
    const honest = hosts.filter((h) => !h.lies),
      hs = new Set(honest),
      bestH = honest.map((h) => h.head).reduce(higher, null);
    if (!bestH) break end;
    const kept = (n, who) =>
      path(n).every((y) =>
        who.some((h) => !h.rot.has(y) && ((h.head && isAnc(y, h.head.node)) || (h.staged && isAnc(y, h.staged.node)))),
      );
    const qOf = (who) =>
        Math.max(
          0,
          ...who
            .flatMap((h) => [h.head, h.staged])
            .filter((t) => t && sameLine(t, bestH) && isAnc(t.q, bestH.node))
            .map((t) => depth[t.q]),
        ),
      q0 = qOf(honest),
      pols = inPlay(bestH.node, q0);
    // The condition of the promise: hosts that have lost events count as dishonest ones do.
    const whole = new Set(honest.filter((h) => [h.head, h.staged].every((t) => !t || kept(t.node, honest))));
    if (!pols.every(({ P }) => weighs(P, whole, f)) || !kept(bestH.node, honest) || st8.forks || cloned) {
      st8.i5not++;
      break end;
    }
    if (N('gone')) {
      const inP = new Set(pols.flatMap(({ P }) => P.hosts));
      for (const h of honest)
        if (
          !inP.has(h) &&
          h.head !== bestH &&
          kept(
            bestH.node,
            honest.filter((y) => y !== h && !y.gone),
          ) &&
          (M('goneUnshown') || inPlay(bestH.node, qOf(honest.filter((y) => y !== h && !y.gone))).length === pols.length)
        ) {
          /* those who stay show that its policy has ended */ h.gone = true;
          hs.delete(h);
          st8.gone++;
        }
    }
    const heard = hosts.filter((h) => !h.gone),
      mine = honest.filter((h) => !h.gone),
      P = { hosts: mine };
    P.required = Math.min(W(P), Math.max(Math.floor(W(P) / 2) + 1, f + 1));
    let fo = restore(heard, false);
    if (!fo && lastNo.startsWith('line') && W(P) > f) {
      st8.chosen++;
      fo = restore(heard, true, P);
      lastQ = 0;
    } // two lines are named: the operator chooses
    if (!fo) {
      if (!F2) fail('I5', `a restore from all honest hosts is refused: ${lastNo}`);
      break end;
    }
    for (const h of hosts) h.rot.clear();
    if (!inPlay(fo.log, lastQ).every(({ P }) => weighs(P, hs, f))) {
      st8.i5not++;
      break end;
    }
    st8.i5++;
    let p = start(fo),
      done = false,
      moved = false,
      tries = 0;
    for (let again = 0; again < 3 && !bad.length && !F2; again++) {
      // three lives of the core
      done = false;
      let idle = 0;
      for (let round = 0; round < 60 + steps / 2 && !bad.length && !done; round++) {
        if (p.stopped === 'LINE') {
          st8.begun++;
          beginLine(fo, 1 + Math.max(lineOf[fo.log], p.saw), inPlay(fo.log, fo.q).at(-1).P);
          p = start(fo);
          round = Math.min(round, 20);
          if (++idle > 40) break;
        } // the operator: begin-line, with the own log
        if (p.stopped && p.stopped !== 'LINE' && moved && !again && tries++ < 3 && !M('noSecondRestore')) {
          moved = false;
          const re = restore(heard, false);
          if (re) {
            st8.reread++;
            fo = re;
            p = start(fo);
          }
        }
        if (p.stopped) break;
        if (N('lease') && round === 3 && p.elected && chance(0.3)) {
          st8.lease++;
          if (M('noLogState')) Object.assign(fo, { epoch: 0, base: 0, restored: false, q: 0 });
          p = start(fo, { maxClaim: 0 });
        }
        tryElect(
          p,
          [...peers(p)].filter((h) => !p.granted.has(h)),
        );
        if (N('forward'))
          for (const h of mine) {
            const b = h.head;
            forward(h);
            moved ||= h.head !== b && h.head.writer !== p.writer;
          }
        if (!p.stopped) for (const h of shuffled(peers(p))) ship(p, h, chance(0.3));
        const need = [...peers(p)].filter((h) => !h.lies && !p.suspended.has(h));
        done = !p.stopped && p.elected && fo.q === depth[fo.log] && need.every((h) => h.head?.node === fo.log);
      }
      if (bad.length) break;
      if (!done) {
        fail(
          'I5',
          p.stopped
            ? `the restored core stops: ${p.stopped} (life ${again + 1})`
            : `no convergence: elected ${p.elected}, epoch ${p.epoch}, quorum ${fo.q} of ${depth[fo.log]} (life ${again + 1})`,
        );
        break;
      }
      if (again < 2) {
        p = start(fo);
        for (let i = pick(4); i >= 0; i--) fo.log = node(fo.log);
      }
    }
  }
  return { bad, st: st8, maxEpoch: Math.max(0, ...procs.map((x) => x.file.maxClaim)) };
}
const argv = process.argv[1]?.endsWith('model.mjs') ? process.argv.slice(2) : [];
if (argv[0]) {
  const steps = +(process.env.STEPS ?? 160),
    [family, from, count, ...muts] = argv,
    mut = new Set(muts),
    nem = new Set(
      (process.env.NEM ?? '')
        .split(',')
        .filter(Boolean)
        .flatMap((x) => (x === 'all' ? NEMESES : x)),
    );
  const sum = {},
    by = {},
    t = Date.now();
  let wrong = 0,
    maxEpoch = 0;
  for (let s = +from; s < +from + +count; s++) {
    let o;
    try {
      o = run(s, { family, mut, nem, steps });
    } catch (e) {
      o = { bad: [`CRASH: ${e.stack.split('\n').slice(0, 3).join(' ')}`], st: {}, maxEpoch: 0 };
    }
    if (o.bad.length) {
      wrong++;
      const k = o.bad[0].split(':')[0];
      by[k] ??= { n: 0, first: `seed ${s} ${o.bad[0]}` };
      by[k].n++;
    }
    for (const [k, v] of Object.entries(o.st)) sum[k] = (sum[k] ?? 0) + v;
    maxEpoch = Math.max(maxEpoch, o.maxEpoch);
  }
  console.log(
    JSON.stringify({
      family,
      nem: process.env.NEM ?? '',
      swarm: !!process.env.SWARM,
      muts,
      histories: +count,
      wrong,
      by,
      maxEpoch,
      sum,
      ms: Date.now() - t,
    }),
  );
}
