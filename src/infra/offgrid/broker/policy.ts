import { z } from 'zod';
import { rawNumber, type PythonObject } from './python-json.js';
import { DEFAULT_POLICIES, type QuorumPolicies, type QuorumPolicy } from './quorum.js';

/** A quorum policy is invalid. The message is one line: the field, and the rule that it breaks. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
}

/** The maximum weight of a node. */
const MAX_WEIGHT = 1_000_000;
/** The maximum half-life or age, in seconds: about a hundred years. */
const MAX_SECONDS = 3_153_600_000;

const weight = z
  .number(`must be a number, 0–${MAX_WEIGHT}`)
  .min(0, `must be 0–${MAX_WEIGHT}`)
  .max(MAX_WEIGHT, `must be 0–${MAX_WEIGHT}`);
const SECONDS = `must be seconds, 0–${MAX_SECONDS}; 0 for none`;
const seconds = z.number(SECONDS).min(0, SECONDS).max(MAX_SECONDS, SECONDS);
const fields = {
  weight_default: weight.optional(),
  weights: z.record(z.string(), weight, 'must be an object: weights by node').optional(),
  decay_half_life_s: seconds.optional(),
  max_age_s: seconds.optional(),
};
const overrides = z.strictObject(fields, { error: unknownKeys });
const schema = z.strictObject(
  { ...fields, kinds: z.record(z.string(), overrides, 'must be an object: policies by kind').optional() },
  { error: unknownKeys },
);

/**
 * Reads a policy from JSON: `{ "weight_default": 1, "weights": { "host-a": 2 }, "decay_half_life_s": 0, "max_age_s": 0,
 * "kinds": { "replica": { "max_age_s": 3600 } } }`; every field is optional. @throws PolicyError
 */
export function readQuorumPolicy(text: string): QuorumPolicies {
  const parsed = schema.safeParse(parseJson(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? 'it' : issue.path.join('.');
    throw new PolicyError(`The quorum policy is invalid: ${where} ${issue?.message ?? 'is invalid'}`);
  }
  const { kinds = {}, ...general } = parsed.data;
  return {
    ...DEFAULT_POLICIES,
    ...fromFields(general),
    kinds: new Map(Object.entries(kinds).map(([kind, given]) => [kind, fromFields(given)])),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PolicyError(`The quorum policy is not JSON: ${error instanceof Error ? error.message : 'it is damaged'}`);
  }
}

function fromFields(given: z.infer<typeof overrides>): Partial<QuorumPolicy> {
  const { weight_default, weights, decay_half_life_s, max_age_s } = given;
  return {
    ...(weight_default !== undefined && { weightDefault: weight_default }),
    ...(weights !== undefined && { weights: new Map(Object.entries(weights)) }),
    ...(decay_half_life_s !== undefined && { decayHalfLifeS: decay_half_life_s }),
    ...(max_age_s !== undefined && { maxAgeS: max_age_s }),
  };
}

function unknownKeys(issue: z.core.$ZodRawIssue): string {
  if (issue.code !== 'unrecognized_keys') return 'must be an object';
  return `must not have '${issue.keys.join("', '")}': the known fields are ${Object.keys(fields).join(', ')}, and at the top level kinds`;
}

/** A policy in the form of the protocol. */
export function policyView({ weightDefault, weights, decayHalfLifeS, maxAgeS }: QuorumPolicy): PythonObject {
  return {
    weight_default: rawNumber(weightDefault),
    weights: Object.fromEntries([...weights].map(([node, w]) => [node, rawNumber(w)])),
    decay_half_life_s: rawNumber(decayHalfLifeS),
    max_age_s: rawNumber(maxAgeS),
  };
}
