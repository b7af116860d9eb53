/** Every field of a mission, without those that lead to other objects. */
export const MISSION = 'id title description metadata tags status closedReason createdAt updatedAt revision position';
/** Every field of a task, without those that lead to other objects. */
export const TASK = 'id missionId name description kind params createdAt updatedAt revision position';
/** Every field of a job, without those that lead to other objects. */
export const JOB =
  'id taskId missionId kind payload priority maxAttempts status attempt worker leaseExpiresAt result cost ' +
  'failure { reason message } createdAt updatedAt revision position';

const PROBLEM = `... on Problem {
  code message
  ... on InvalidInput { fields { path message } }
  ... on NotFound { entity id }
  ... on MissionIsClosed { missionId }
  ... on JobIsFinished { jobId status }
  ... on StaleAttempt { jobId attempt currentAttempt }
  ... on ConcurrencyConflict { expectedRevision actualRevision }
  ... on IdempotencyMismatch { key }
}`;

const ENTITIES: Readonly<Record<string, string>> = {
  Mission: `mission { ${MISSION} }`,
  Task: `task { ${TASK} }`,
  Job: `job { ${JOB} }`,
  Jobs: `jobs { ${JOB} }`,
};

/** The document of a mutation by its name, such as `createMission`, with all fields of its result. */
export function mutation(name: string): string {
  const type = name.charAt(0).toUpperCase() + name.slice(1);
  const entity = ENTITIES[type.replace(/^[A-Z][a-z]+/, '')] ?? '';
  return `mutation ($input: ${type}Input!, $consistency: Consistency!) {
    ${name}(input: $input, consistency: $consistency) {
      __typename
      ... on ${type}Payload { position durability ${entity} }
      ${PROBLEM}
    }
  }`;
}
