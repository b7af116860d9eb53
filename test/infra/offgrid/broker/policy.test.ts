import { describe, expect, it } from 'vitest';
import { PolicyError, policyView, readQuorumPolicy } from '../../../../src/infra/offgrid/broker/policy.js';
import { pythonJson } from '../../../../src/infra/offgrid/broker/python-json.js';
import { DEFAULT_POLICIES, policyFor } from '../../../../src/infra/offgrid/broker/quorum.js';

describe('a quorum policy', () => {
  it('counts every node as 1 without decay by default', () => {
    expect(readQuorumPolicy('{}')).toEqual(DEFAULT_POLICIES);
  });

  it('is read with the fields that kinds override', () => {
    const policies = readQuorumPolicy(`{
      "weight_default": 0.5, "weights": { "host-a": 2 }, "decay_half_life_s": 60, "max_age_s": 3600,
      "kinds": { "replica": { "weights": { "host-b": 3 }, "max_age_s": 0 } }
    }`);
    expect(pythonJson(policyView(policyFor(policies)))).toBe(
      '{"decay_half_life_s": 60, "max_age_s": 3600, "weight_default": 0.5, "weights": {"host-a": 2}}',
    );
    expect(pythonJson(policyView(policyFor(policies, 'replica')))).toBe(
      '{"decay_half_life_s": 60, "max_age_s": 0, "weight_default": 0.5, "weights": {"host-b": 3}}',
    );
  });

  it.each([
    ['', /^The quorum policy is not JSON: /],
    ['[]', /it must be an object$/],
    ['{"weight_default": -1}', /weight_default must be 0–1000000$/],
    ['{"weight_default": "1"}', /weight_default must be a number, 0–1000000$/],
    ['{"weights": {"host-a": null}}', /weights\.host-a must be a number, 0–1000000$/],
    ['{"weights": []}', /weights must be an object: weights by node$/],
    ['{"max_age_s": -1}', /max_age_s must be seconds, 0–3153600000; 0 for none$/],
    [
      '{"kinds": {"replica": {"max_age": 1}}}',
      /kinds\.replica must not have 'max_age': the known fields are weight_default, /,
    ],
    ['{"kinds": {"replica": {"kinds": {}}}}', /kinds\.replica must not have 'kinds'/],
  ])('that is %s is refused, with the field and the rule', (text, message) => {
    expect(() => readQuorumPolicy(text)).toThrow(PolicyError);
    expect(() => readQuorumPolicy(text)).toThrow(message);
  });
});
