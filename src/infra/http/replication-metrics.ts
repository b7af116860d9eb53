import { Counter, Gauge, type Registry } from 'prom-client';
import type { ReplicationStatus } from '../offgrid/replication/status.js';

/** Registers the metrics of replication. Returns a function that sets them from a status. */
export function replicationGauges(registry: Registry): (status: ReplicationStatus) => void {
  const registers = [registry];
  const labelNames = ['host', 'url'] as const;
  const head = new Gauge({
    name: 'sheratan_outbox_head',
    help: 'The sequence of the last replicated event.',
    registers,
  });
  const quorum = new Gauge({
    name: 'sheratan_outbox_quorum',
    help: 'The sequence up to which a quorum of hosts has signed for every event.',
    registers,
  });
  const pending = new Gauge({
    name: 'sheratan_outbox_pending',
    help: 'The number of events that no quorum has signed for yet.',
    registers,
  });
  const lag = new Gauge({
    name: 'sheratan_outbox_lag_seconds',
    help: 'The age of the oldest pending event, in seconds; 0 when no event is pending or nothing is replicated.',
    registers,
  });
  const sequence = new Gauge({
    name: 'sheratan_host_sequence',
    help: 'The sequence up to which a host has signed for every event.',
    labelNames,
    registers,
  });
  const behind = new Gauge({
    name: 'sheratan_host_behind',
    help: 'The number of events that a host has not signed for.',
    labelNames,
    registers,
  });
  const reached = new Gauge({
    name: 'sheratan_host_reached',
    help: '1 when the last attempt to supply a host succeeded, otherwise 0; absent when this core is not the one that replicates.',
    labelNames,
    registers,
  });
  const damaged = new Gauge({
    name: 'sheratan_damaged_events',
    help: 'The number of damaged events that a host reports; absent until this core has heard the host.',
    labelNames,
    registers,
  });
  const failedAudits = new Gauge({
    name: 'sheratan_failed_audits',
    help: 'How often a host returned another event than it has signed for, or none; absent until this core has heard the host.',
    labelNames,
    registers,
  });
  const treeAge = new Gauge({
    name: 'sheratan_tree_age_seconds',
    help: 'The age of the tree that a host shows, in seconds; absent until this core has heard the host.',
    labelNames,
    registers,
  });
  const staged = new Gauge({
    name: 'sheratan_staged_events',
    help: 'The number of events that a host keeps staged until this core is elected.',
    labelNames: ['host'],
    registers,
  });
  const proofs = new Gauge({
    name: 'sheratan_proof_total',
    help: 'The number of proofs in the log that a host is dishonest, by kind of proof.',
    labelNames: ['host', 'kind'],
    registers,
  });
  const epochs = new Counter({
    name: 'sheratan_epochs_total',
    help: 'The number of epochs that this process has claimed.',
    registers,
  });
  const leftOut = new Counter({
    name: 'sheratan_left_out_total',
    help: 'The number of hosts that elections of this process have left out, because they show events that a restored log does not have.',
    registers,
  });

  return (status) => {
    head.set(status.headSequence);
    quorum.set(status.quorumSequence);
    pending.set(status.pending);
    lag.set(status.lagSeconds);
    for (const gauge of [sequence, behind, reached, damaged, failedAudits, treeAge, staged, proofs]) gauge.reset();
    for (const { host, events } of status.staged) staged.set({ host }, events);
    for (const [counter, count] of [
      [epochs, status.epochs],
      [leftOut, status.leftOut],
    ] as const) {
      counter.reset();
      counter.inc(count);
    }
    for (const { id, url, ...host } of status.hosts) {
      const labels = { host: id, url };
      sequence.set(labels, host.sequence);
      behind.set(labels, host.behind);
      if (host.reached !== null) reached.set(labels, host.reached ? 1 : 0);
      if (host.damaged !== null) damaged.set(labels, host.damaged);
      if (host.failedAudits !== null) failedAudits.set(labels, host.failedAudits);
      if (host.treeAgeSeconds !== null) treeAge.set(labels, host.treeAgeSeconds);
      if (host.proof !== null) proofs.set({ host: id, kind: host.proof.kind }, 1);
    }
  };
}
