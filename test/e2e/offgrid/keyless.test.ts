import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ANSWER_HEADER } from '../../../src/infra/offgrid/protocol/authentication.js';
import { decodeBatch } from '../../../src/infra/offgrid/protocol/batch.js';
import { decodeClaimBody } from '../../../src/infra/offgrid/protocol/claim-body.js';
import { MAX_BODY_BYTES } from '../../../src/infra/offgrid/protocol/fields.js';
import { encodeRefusal, REFUSAL_STATUS, type RefusalCode } from '../../../src/infra/offgrid/protocol/refusal.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { RestoreError } from '../../../src/infra/offgrid/restore/errors.js';
import { newDataDir } from '../../support/core.js';
import { TestNode } from '../../support/node.js';
import { Reader } from '../../support/offgrid/by-hand.js';
import { Front, type Exchange, type Reply } from '../../support/offgrid/front.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { evidenceOf, NO_EVIDENCE } from '../../support/offgrid/host-file.js';
import {
  newMission,
  recoveryKeyOf,
  replicating,
  restoreInto,
  settled,
  settledMachine,
  statusOf,
  WAIT,
} from '../../support/offgrid/machine.js';
import { flipped, newKeys } from '../../support/offgrid/protocol-2.js';
import { readBackForTest } from '../../support/offgrid/reading-back.js';
import { ReplicatingCore, wanted } from '../../support/offgrid/replicating-core.js';
import { replicatedEvents } from '../../support/offgrid/three-hosts.js';
import { Random } from '../../support/random.js';

const CODES = Object.keys(REFUSAL_STATUS) as RefusalCode[];
/** The refusals that state something about the host, another writer, or what was sent. */
const GRAVE = ['NOT_SIGNED', 'BAD_REQUEST', 'FULL', 'FENCED', 'OLDER', 'COMMITTED', 'FORKED', 'OTHER'] as const;

/** The place of an attacker without a key: in front of one host. */
interface Place {
  readonly front: Front;
  /** The requests and answers seen there while nothing was changed. */
  readonly seen: { readonly request: Exchange; readonly reply: Reply }[];
  /** How many exchanges were changed there. */
  lies: number;
  pass: (request: Exchange) => Promise<Reply>;
}

/** What an attacker without a key does to an exchange; `other` is in front of another host. */
type Lie = (request: Exchange, at: Place, other: Place) => Promise<Reply>;
type About = (request: Exchange) => boolean;

const isReplica: About = ({ path }) => path.startsWith('/replica/');
const isKeys: About = ({ path }) => path === '/pubkeys';
const isBatch: About = ({ method, path }) => method === 'POST' && path.endsWith('/events');
/** A batch of one event: a host that refuses it would be BLOCKED. */
const isLoneEvent: About = (request) => isBatch(request) && decodeBatch(request.body).events.length === 1;

/** An attacker on the network, in front of every host: sees and changes all messages, and has no key. */
class Keyless {
  readonly places: readonly Place[];
  #about: About = () => false;
  #lie: Lie | undefined;
  #where: readonly Place[] = [];

  private constructor(fronts: readonly Front[]) {
    const pass = () => Promise.reject(new Error('the host is not known yet'));
    this.places = fronts.map((front) => ({ front, seen: [], lies: 0, pass }));
    this.places.forEach((place, i) => {
      const other = this.places[(i + 1) % this.places.length] ?? place;
      place.front.handler = async (request, pass) => {
        place.pass = pass;
        if (this.#lie !== undefined && this.#where.includes(place) && this.#about(request)) {
          place.lies += 1;
          return this.#lie(request, place, other);
        }
        const reply = await pass(request);
        place.seen.push({ request, reply });
        return reply;
      };
    });
  }

  static async before(hosts: readonly RunningHost[]): Promise<Keyless> {
    return new Keyless(await Promise.all(hosts.map(({ url }) => Front.of(url))));
  }

  get urls(): string[] {
    return this.places.map(({ front }) => front.url);
  }

  /** From now on, changes what something is about. @param where before each host unless given */
  lies(about: About, lie: Lie, where = this.places): void {
    [this.#about, this.#lie, this.#where] = [about, lie, where];
    for (const place of this.places) place.lies = 0;
  }

  /** Forwards everything unchanged. */
  rests(): void {
    this.#lie = undefined;
  }

  /** Resolves once exchanges were changed at least `times` times in front of every host. */
  async hasLied(times = 1): Promise<void> {
    await expect.poll(() => Math.min(...this.places.map(({ lies }) => lies)), WAIT).toBeGreaterThanOrEqual(times);
  }
}

/** Replaces an answer. @param hmac a guess: the host is not asked then; otherwise the HMAC of its true answer */
function answerWith(status: number, bodyOf: (at: Place) => Uint8Array, hmac?: string): Lie {
  return async (request, at) => {
    const headers = hmac === undefined ? (await at.pass(request)).headers : { [ANSWER_HEADER]: hmac };
    return { status, headers, body: Buffer.from(bodyOf(at)) };
  };
}

/** A refusal, with something that the origin has signed once and that was visible on the network. */
function refuses(code: RefusalCode, hmac?: string): Lie {
  const bodyOf = ({ seen }: Place) => {
    const firstOf = (about: About) => seen.find(({ request }) => about(request))?.request.body ?? new Uint8Array();
    const { tree } = decodeBatch(firstOf(isBatch));
    const { claim } = decodeClaimBody(firstOf(({ path }) => path.endsWith('/claim')));
    return encodeRefusal({ code, message: 'So it is.', wait: 300, sequence: 0, claim, tree });
  };
  return answerWith(REFUSAL_STATUS[code], bodyOf, hmac);
}

/** Applies these in turn. */
function inTurn(lies: readonly Lie[]): Lie {
  let turn = 0;
  return (...exchange) => lies[turn++ % lies.length]!(...exchange);
}

/** A request, without its challenges and places. */
const kindOf = ({ method, path }: Exchange) => `${method} ${path.split('?', 1).join()}`;

/** An earlier answer to a similar request: from this host or another, the first or the last. */
function replays(which: 'first' | 'last', where: 'here' | 'there'): Lie {
  return async (request, at, other) => {
    const alike = (where === 'here' ? at : other).seen.filter((one) => kindOf(one.request) === kindOf(request));
    return alike.at(which === 'first' ? 0 : -1)?.reply ?? at.pass(request);
  };
}

/** Flips one bit of the request or of the answer. */
function flips(what: 'request' | 'answer', random: Random): Lie {
  const bent = (body: Buffer) =>
    body.byteLength === 0 ? body : Buffer.from(flipped(body, random.between(0, 2 ** 31)));
  return async (request, { pass }) => {
    if (what === 'request') return pass({ ...request, body: bent(request.body) });
    const answer = await pass(request);
    return { ...answer, body: bent(answer.body as Buffer) };
  };
}

const CUT = new Error('This is where it is cut.');
/** Half of the answer, and nothing more. */
const cutsInside: Lie = async (request, { pass }) => {
  const { status, headers, body } = await pass(request);
  const whole = body as Buffer;
  const half = (function* () {
    yield whole.subarray(0, whole.byteLength >> 1);
    throw CUT;
  })();
  return { status, headers: { ...headers, 'content-length': String(whole.byteLength) }, body: Readable.from(half) };
};

const CHANGES: Readonly<Record<string, Lie>> = {
  'an earlier answer, with its own headers': replays('first', 'here'),
  'the last answer, with its own headers': replays('last', 'here'),
  'the answer of another host': replays('last', 'there'),
  'the target, to another host': (request, _at, { pass }) => pass(request),
  'a bit of the request': flips('request', new Random(1)),
  'a bit of the answer': flips('answer', new Random(2)),
  'an empty answer': answerWith(200, () => new Uint8Array()),
  'a request that is not forwarded': () => Promise.reject(CUT),
  'an answer that is not forwarded': (request, { pass }) => pass(request).then(() => Promise.reject(CUT)),
  'half of an answer': cutsInside,
};

/** Changes for which a host itself refuses what the core has sent, with its own HMAC. */
const REFUSED_BY_HOST: Readonly<Record<string, Lie>> = {
  'another path': (request, { pass }) => pass({ ...request, path: '/replica/%zz/events' }),
  'more bytes after the body': ({ body, ...request }, { pass }) =>
    pass({ ...request, body: Buffer.concat([body, Buffer.alloc(MAX_BODY_BYTES)]) }),
  'another content type': (request, { pass }) =>
    pass({ ...request, headers: { ...request.headers, 'content-type': '/' } }),
};

const keysOf = (key: Uint8Array, protocol = 2) =>
  Buffer.from(JSON.stringify({ ed25519_verify_key: Buffer.from(key).toString('base64'), protocol }));
const OTHER_KEYS: Readonly<Record<string, Lie>> = {
  'those with a new key': answerWith(200, () => keysOf(newKeys().verifyKey)),
  'those of another host': replays('last', 'there'),
  'those of protocol 1': answerWith(200, () => keysOf(newKeys().verifyKey, 1)),
  'an invalid key': answerWith(200, () => keysOf(new Uint8Array(32))),
  'no keys': answerWith(200, () => Buffer.from('{}')),
  'an error status': answerWith(500, () => Buffer.from('{}')),
};

/** A core of three hosts, with an attacker without a key in front of each. */
async function besieged() {
  const folders = [await newFolder(), await newFolder(), await newFolder()];
  const keyless = await Keyless.before(await Promise.all(folders.map((folder) => newHost({ folder }))));
  const core = await TestNode.start(replicating(keyless.urls));
  onTestFinished(() => core.stop());
  await settled(core);
  return { core, keyless, folders };
}
type Besieged = Awaited<ReturnType<typeof besieged>>;

/** States that no host was accused, and that nothing waits for an operator. */
async function expectUnharmed({ core, folders, keyless }: Besieged, by: string): Promise<void> {
  const { hosts, events } = await core.gql(
    '{ hosts { state proof { kind } } events(filter: { types: ["HostStateChanged"] }) { edges { node { data } } } }',
  );
  expect(events.edges, by).toEqual([]);
  expect(hosts, by).toEqual(keyless.urls.map(() => ({ state: 'ACTIVE', proof: null })));
  expect(await statusOf(core), by).toMatchObject({ stopped: null, refusal: null, line: 1, policyVersion: 1 });
  for (const folder of folders) expect(await evidenceOf(folder), by).toEqual(NO_EVIDENCE);
}

/** Changes the batch of one event in front of every host, then stops: all have the event in the end, without an operator. */
async function survives(siege: Besieged, lie: Lie, by: string): Promise<void> {
  const { core, keyless } = siege;
  const events = 1 + Number((await statusOf(core)).headSequence);
  const before = core.logged.length;
  keyless.lies(isLoneEvent, lie);
  await newMission(core);
  // It is logged once for each host, and only after the core has acted on the answer.
  for (const url of keyless.urls)
    await expect.poll(() => core.logged.slice(before).join(''), { ...WAIT, message: by }).toContain(`"${url}"`);
  await expectUnharmed(siege, by);
  keyless.rests();
  expect(await settled(core, events), by).toMatchObject({ quorumSequence: events });
  await expectUnharmed(siege, by);
}

/** Starts a process; for a while, all its requests are changed. */
async function survivesStart(siege: Besieged, lie: Lie): Promise<void> {
  const { core, keyless } = siege;
  const before = await statusOf(core);
  const [events, writerEpoch] = [1 + Number(before.headSequence), 1 + Number(before.writerEpoch)];
  keyless.lies(isReplica, lie);
  await core.restart();
  await newMission(core);
  await keyless.hasLied(3);
  await expectUnharmed(siege, 'a start');
  keyless.rests();
  // Each process uses up one epoch; statements in the name of another process use up none.
  expect(await settled(core, events)).toMatchObject({ quorumSequence: events, writerEpoch });
  await expectUnharmed(siege, 'a start');
}

/** False answers; three of them are given at a time, each in front of one host. */
function inThrees({ keyless: { places } }: Besieged, lies: readonly (readonly [what: string, lie: Lie])[]) {
  return Array.from({ length: Math.ceil(lies.length / places.length) }, (_, i) => {
    const some = lies.slice(i * places.length, (i + 1) * places.length);
    const lie: Lie = (...exchange) => some[places.indexOf(exchange[1]) % some.length]![1](...exchange);
    return { what: some.map(([what]) => what).join(', '), lie };
  });
}

describe('an attacker without a key, in front of every host of a core, who changes', () => {
  it('answers into any refusal does no harm', async () => {
    const siege = await besieged();
    const refusals = [
      ...CODES.map((code) => [code, refuses(code)] as const),
      ...GRAVE.map((code) => [code, refuses(code, '00'.repeat(32))] as const),
    ];
    for (const { what, lie } of inThrees(siege, refusals)) await survives(siege, lie, what);
    for (const codes of [CODES, GRAVE]) await survivesStart(siege, inTurn(codes.map((code) => refuses(code))));
  });

  it('answers in any other way does no harm: repeated, to another request, in part, corrupted or not at all', async () => {
    const siege = await besieged();
    await newMission(siege.core);
    await settled(siege.core, 3);
    for (const { what, lie } of inThrees(siege, Object.entries(CHANGES))) await survives(siege, lie, what);
    await survivesStart(siege, inTurn(Object.values(CHANGES)));
  });

  it('the time at which answers arrive does no harm: they count when they arrive', async () => {
    const siege = await besieged();
    const { core, keyless } = siege;
    const late: (() => void)[] = [];
    keyless.lies(isBatch, async (request, { pass }) => {
      const answer = await pass(request);
      await new Promise<void>((resolve) => late.push(resolve));
      return answer;
    });
    await newMission(core);
    await keyless.hasLied();
    await newMission(core);
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ headSequence: 4, quorumSequence: 2 });
    keyless.rests();
    await expect.poll(() => late.length, WAIT).toBe(3);
    for (const answer of late) answer();
    expect(await settled(core, 4)).toMatchObject({ quorumSequence: 4 });
    await expectUnharmed(siege, 'delays');
  });

  it('the identity of a host cannot replace the host: the core continues with those it knows', async () => {
    const siege = await besieged();
    const { core, keyless } = siege;
    for (const { what, lie } of inThrees(siege, Object.entries(OTHER_KEYS))) {
      keyless.lies(isKeys, lie);
      await core.restart();
      await keyless.hasLied();
      expect(await newMission(core, {}, 'REPLICATED'), what).toMatchObject({ durability: 'REPLICATED' });
      await expectUnharmed(siege, what);
    }
    keyless.rests();
    await settled(core);
    await expectUnharmed(siege, 'the keys of others');
  });

  // Without a key one can change a request so that the host refuses it: that must not count as a refusal of what the core sent.
  it.each(Object.entries(REFUSED_BY_HOST))(
    'a request by %s, for which the host itself refuses it, does no harm',
    async (by, lie) => {
      await survives(await besieged(), lie, by);
    },
  );
});

/** What a restore reports when it gives nothing. */
const NOTHING =
  /^(No host has answered with a valid head|Events that were at quorum may be missing|Not all of the first)/;

/** Three hosts with an attacker without a key in front of each, and what a lost core has left there. */
async function leftBehind() {
  const hosts = [await newHost(), await newHost(), await newHost()];
  const keyless = await Keyless.before(hosts);
  const core = await ReplicatingCore.start({ hosts: wanted(...keyless.urls.map((url) => ({ url }))), required: 2 });
  await core.record(10);
  const length = await core.settles();
  const heads = () => Promise.all(hosts.map((host) => new Reader(host, core.root).head()));
  const hasAll = async () => (await heads()).every(({ tree }) => tree?.sequence === length);
  await expect.poll(hasAll, WAIT).toBe(true);
  const all = await replicatedEvents(core.log);
  await core.stop();
  const named = hosts.map(({ identity: { id } }, i) => ({ url: keyless.urls[i] ?? '', id }));
  /** The result of a restore, or why it gives nothing. */
  const restore = async () => {
    try {
      return await replicatedEvents((await readBackForTest({ root: core.root, hosts: named })).log);
    } catch (error) {
      if (error instanceof RestoreError) return error.message;
      throw error;
    }
  };
  // An attacker who replays answers to a restore has seen one.
  expect(await restore()).toEqual(all);
  return { keyless, restore, heads, all };
}

/** A restore gets the true history from the other hosts; where all hosts are misrepresented, it gets it or reports why not. */
async function restoresOnlyTheTruth(left: Awaited<ReturnType<typeof leftBehind>>, about: About, lie: Lie, by: string) {
  const { keyless, restore, all } = left;
  keyless.lies(about, lie, keyless.places.slice(0, 1));
  expect(await restore(), by).toEqual(all);
  keyless.lies(about, lie);
  expect([all, expect.stringMatching(NOTHING)], by).toContainEqual(await restore());
  // Where heads arrive unchanged it gets further, and where some answers do as well, further still.
  const random = new Random(3);
  keyless.lies((request) => about(request) && !request.path.includes('/head?') && random.chance(0.7), lie);
  expect([all, expect.stringMatching(NOTHING)], by).toContainEqual(await restore());
}

describe('a restore past an attacker without a key who changes', () => {
  const refusals = Object.fromEntries(CODES.map((code) => [code, refuses(code)]));
  it.each([
    { what: 'answers into refusals', about: isReplica, lies: refusals },
    { what: 'answers in any other way', about: isReplica, lies: CHANGES },
    { what: 'the keys of hosts', about: isKeys, lies: OTHER_KEYS },
  ])('$what gives the true history or none, and changes no host', async ({ about, lies }) => {
    const left = await leftBehind();
    const before = await left.heads();
    for (const [what, lie] of Object.entries(lies)) await restoresOnlyTheTruth(left, about, lie, what);
    left.keyless.rests();
    expect(await left.restore()).toEqual(left.all);
    expect(await left.heads()).toEqual(before);
  });
});

describe('sheratan restore', () => {
  it('past an attacker without a key reports why nothing is read, and reads all once the attacker is gone', async () => {
    const hosts = [await newHost(), await newHost()];
    const keyless = await Keyless.before(hosts);
    const { core, dataDir } = await settledMachine(keyless.urls);
    await newMission(core, {}, 'REPLICATED');
    const key = await recoveryKeyOf(dataDir);
    await core.stop();
    const named = keyless.urls.map((url, i) => `${url}#${hosts[i]?.identity.id}`);
    keyless.lies(isReplica, refuses('NOT_FOUND'));
    const refused = await restoreInto(await newDataDir(), key, named);
    expect(refused.code).not.toBe(0);
    for (const url of keyless.urls) expect(refused.errors.join('\n')).toContain(url);
    keyless.rests();
    expect(await restoreInto(await newDataDir(), key, named)).toMatchObject({ code: 0 });
  });
});
