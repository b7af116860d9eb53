import { describe, expect, it } from 'vitest';
import { isId, jobStream, missionStream, taskStream } from '../../src/domain/id.js';
import type { Json } from '../../src/domain/json.js';
import { alreadyExists, invalidInput, missionClosed, notFound } from '../../src/domain/problem.js';
import { Checks, LIMITS } from '../../src/domain/rules.js';

const HALF = '\ud83d';
const MOON = '🌕';

/** The result of one check, by field. */
function messagesOf(check: (checks: Checks) => Checks): readonly string[] {
  const problem = check(new Checks()).problem();
  return problem?.code === 'INVALID_INPUT' ? problem.fields.map(({ path, message }) => `${path} ${message}`) : [];
}

/** A scalar inside a given number of nested arrays. */
function nested(levels: number): Json {
  return Array.from({ length: levels }).reduce<Json>((inner) => [inner], 0);
}

describe('the limits', () => {
  it('are these', () => {
    expect(LIMITS).toStrictEqual({
      titleLength: 200,
      nameLength: 200,
      descriptionLength: 10_000,
      reasonLength: 1_000,
      messageLength: 10_000,
      kindLength: 64,
      workerLength: 128,
      tags: 32,
      tagLength: 64,
      metadataBytes: 65_536,
      payloadBytes: 262_144,
      priority: 1_000,
      attempts: 100,
      leaseSeconds: 86_400,
    });
  });
});

describe('a text', () => {
  it.each([
    ['of the most characters', 'abcde'],
    ['of whole surrogate pairs', `${MOON}${MOON}a`],
    ['with blanks around it', ' abc '],
  ])('%s passes', (_, text) => {
    expect(messagesOf((checks) => checks.text('f', text, 1, 5))).toEqual([]);
  });

  it('of one character more is refused with both numbers', () => {
    expect(messagesOf((checks) => checks.text('f', 'abcdef', 1, 5))).toEqual([
      'f must have at most 5 characters; it has 6',
    ]);
  });

  it('is measured in UTF-16 code units', () => {
    expect(messagesOf((checks) => checks.text('f', MOON.repeat(3), 1, 5))).toEqual([
      'f must have at most 5 characters; it has 6',
    ]);
  });

  it.each(['', ' ', '\n\t\u3000'])('of nothing but blanks is refused where one is needed (%j)', (text) => {
    expect(messagesOf((checks) => checks.text('f', text, 1, 5))).toEqual(['f must not be blank']);
  });

  it.each(['', '  '])('may be blank where none is needed (%j)', (text) => {
    expect(messagesOf((checks) => checks.text('f', text, 0, 5))).toEqual([]);
  });

  it.each([HALF, `a${HALF}`, '\udc00b'])('with half of a surrogate pair is refused (%j)', (text) => {
    expect(messagesOf((checks) => checks.text('f', text, 0, 5))).toEqual([
      'f must be well-formed Unicode (it holds half of a surrogate pair)',
    ]);
  });
});

describe('an id', () => {
  it.each(['a', 'Z', '0', 'a-_.:9', '018f3f6e-7d3c-7cc0-8d4a-3a1f0c9f5b11', 'x'.repeat(64)])('may be %s', (text) => {
    expect(isId(text)).toBe(true);
  });

  it.each(['', '-a', '_a', '.a', ':a', 'a b', 'a/b', 'é', 'a\n', '\na', 'x'.repeat(65), MOON])(
    'may not be %j',
    (text) => {
      expect(isId(text)).toBe(false);
    },
  );

  it('is refused with the rule it breaks', () => {
    expect(messagesOf((checks) => checks.id('taskId', '-'))).toEqual([
      'taskId must be an id: 1–64 letters, digits or - _ . :, starting with a letter or digit',
    ]);
  });

  it('names the stream of its aggregate', () => {
    expect([missionStream('a-1'), taskStream('a-1'), jobStream('a-1')]).toEqual(['mission-a-1', 'task-a-1', 'job-a-1']);
  });
});

describe('tags', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => `tag ${i}`);

  it.each([0, 1, 32])('pass when there are %i', (count) => {
    expect(messagesOf((checks) => checks.tags('tags', many(count)))).toEqual([]);
  });

  it('are refused when there are 33', () => {
    expect(messagesOf((checks) => checks.tags('tags', many(33)))).toEqual([
      'tags must be at most 32 tags; there are 33',
    ]);
  });

  it('are refused where one is too long, naming its place', () => {
    expect(messagesOf((checks) => checks.tags('tags', ['a', 'x'.repeat(64), 'x'.repeat(65)]))).toEqual([
      'tags.2 must have at most 64 characters; it has 65',
    ]);
  });

  it('are refused where one is blank or half a character', () => {
    expect(messagesOf((checks) => checks.tags('tags', [' ', HALF]))).toEqual([
      'tags.0 must not be blank',
      'tags.1 must be well-formed Unicode (it holds half of a surrogate pair)',
    ]);
  });

  it('are refused when one occurs twice', () => {
    expect(messagesOf((checks) => checks.tags('tags', ['a', 'b', 'a']))).toEqual(['tags must not name a tag twice']);
  });

  it('differ by case', () => {
    expect(messagesOf((checks) => checks.tags('tags', ['a', 'A']))).toEqual([]);
  });

  it('beyond the limit are not checked one by one', () => {
    expect(messagesOf((checks) => checks.tags('tags', [...many(32), '']))).toEqual([
      'tags must be at most 32 tags; there are 33',
    ]);
  });
});

describe('a JSON value', () => {
  it.each<[string, Json]>([
    ['null', null],
    ['a boolean', false],
    ['a number', -1.5e-7],
    ['a text', MOON],
    ['the longest that fits', 'x'.repeat(98)],
    ['lists and objects', { a: [1, { b: null }], '': '' }],
  ])('passes: %s', (_, value) => {
    expect(messagesOf((checks) => checks.json('f', value, 100))).toEqual([]);
  });

  it.each<[string, Json]>([
    ['characters of one byte', 'x'.repeat(99)],
    ['characters of four bytes', MOON.repeat(24) + 'xxx'],
    ['characters that JSON escapes', '\n'.repeat(49) + 'x'],
  ])('is measured in bytes of UTF-8: %s', (_, value) => {
    expect(messagesOf((checks) => checks.json('f', value, 100))).toEqual([
      'f must be at most 100 bytes of JSON; it is 101',
    ]);
  });

  it('passes with 64 levels', () => {
    expect(messagesOf((checks) => checks.json('f', nested(64), 1_000))).toEqual([]);
  });

  it.each([65, 20_000])('is refused with %i levels', (levels) => {
    expect(messagesOf((checks) => checks.json('f', nested(levels), 1_000_000))).toEqual([
      'f must be nested at most 64 levels deep',
    ]);
  });

  it.each([NaN, Infinity, -Infinity])('is refused with %d anywhere in it', (number) => {
    for (const value of [number, [1, number], { a: { b: [number] } }]) {
      expect(messagesOf((checks) => checks.json('f', value, 1_000))).toEqual(['f must hold finite numbers only']);
    }
  });

  it('is refused with half of a surrogate pair anywhere in it', () => {
    for (const value of [HALF, ['a', HALF], { a: { b: [HALF] } }]) {
      expect(messagesOf((checks) => checks.json('f', value, 1_000))).toEqual(['f must hold well-formed Unicode only']);
    }
  });

  it('is refused with half of a surrogate pair in a key', () => {
    for (const value of [{ [HALF]: 1 }, [{ a: { [HALF]: 1 } }]]) {
      expect(messagesOf((checks) => checks.json('f', value, 1_000))).toEqual([
        'f must have keys of well-formed Unicode only',
      ]);
    }
  });
});

describe('a whole number', () => {
  it.each([-2, 0, 3])('passes from the least to the most: %i', (value) => {
    expect(messagesOf((checks) => checks.integer('f', value, -2, 3))).toEqual([]);
  });

  it.each([-3, 4, 0.5, NaN, Infinity, -Infinity])('is refused otherwise: %d', (value) => {
    expect(messagesOf((checks) => checks.integer('f', value, -2, 3))).toEqual([
      `f must be a whole number from -2 to 3; it is ${value}`,
    ]);
  });
});

describe('an amount', () => {
  it.each([0, Number.MIN_VALUE, Number.MAX_VALUE])('passes from 0 up: %d', (value) => {
    expect(messagesOf((checks) => checks.amount('f', value))).toEqual([]);
  });

  it.each([-Number.MIN_VALUE, NaN, Infinity, -Infinity])('is refused otherwise: %d', (value) => {
    expect(messagesOf((checks) => checks.amount('f', value))).toEqual([
      `f must be a number of at least 0; it is ${value}`,
    ]);
  });
});

describe('a problem', () => {
  it('does not exist when nothing is wrong', () => {
    expect(new Checks().text('f', 'a', 1, 1).id('id', 'a').problem()).toBeUndefined();
  });

  it('carries every field that is wrong, in the order of the checks, and the first in its message', () => {
    expect(new Checks().integer('b', 9, 0, 1).text('a', '', 1, 9).amount('c', -1).problem()).toStrictEqual({
      code: 'INVALID_INPUT',
      message: 'b: must be a whole number from 0 to 1; it is 9 (and 2 more)',
      fields: [
        { path: 'b', message: 'must be a whole number from 0 to 1; it is 9' },
        { path: 'a', message: 'must not be blank' },
        { path: 'c', message: 'must be a number of at least 0; it is -1' },
      ],
    });
  });

  it('does not mention further fields when one field is wrong', () => {
    expect(invalidInput([{ path: 'a', message: 'must not be blank' }]).message).toBe('a: must not be blank');
  });

  it('has a message without fields too', () => {
    expect(invalidInput([])).toStrictEqual({ code: 'INVALID_INPUT', message: 'The input is invalid.', fields: [] });
  });

  it('names what is missing, taken or closed', () => {
    expect(notFound('Projection', 'p')).toStrictEqual({
      code: 'NOT_FOUND',
      message: "There is no projection 'p'.",
      entity: 'Projection',
      id: 'p',
    });
    expect(alreadyExists('Task', 't')).toStrictEqual({
      code: 'ALREADY_EXISTS',
      message: "Task 't' already exists.",
      entity: 'Task',
      id: 't',
    });
    expect(missionClosed('m', 'CANCELLED')).toStrictEqual({
      code: 'MISSION_CLOSED',
      message: "Mission 'm' is closed (CANCELLED) and accepts no more changes, tasks or jobs.",
      missionId: 'm',
    });
  });
});
