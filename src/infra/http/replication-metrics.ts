import { Counter, Gauge, type Registry } from 'prom-client';
import type { ReplicationStatus } from '../offgrid/replication/status.js';

/** Gauges of how far replication has got. Returns what sets them. */
export function replicationGauges(registry: Registry): (status: ReplicationStatus) => void {
  const registers = [registry];
  const labelNames = ['host', 'url'] as const;
  const head = new Gauge({
    name: 'sheratan_outbox_head',
    help: 'The number of the last replicated event.',
    registers,
  });
  const quorum = new Gauge({
    name: 'sheratan_outbox_quorum',
    help: 'A quorum of hosts has signed for every event up to here.',
    registers,
  });
  const pending = new Gauge({
    name: 'sheratan_outbox_pending',
    help: 'Events that no quorum has signed for yet.',
    registers,
  });
  const lag = new Gauge({
    name: 'sheratan_outbox_lag_seconds',
    help: 'The age of the oldest pending event; 0 when none is, or nothing is replicated.',
    registers,
  });
  const sequence = new Gauge({
    name: 'sheratan_host_sequence',
    help: 'A host has signed for every event up to here.',
    labelNames,
    registers,
  });
  const behind = new Gauge({
    name: 'sheratan_host_behind',
    help: 'Events that a host has not signed for.',
    labelNames,
    registers,
  });
  const reached = new Gauge({
    name: 'sheratan_host_reached',
    help: '1 when the last try with a host came to something; absent when this core does not try.',
    labelNames,
    registers,
  });
  const damaged = new Gauge({
    name: 'sheratan_damaged_events',
    help: 'Events that a host says are damaged there; absent until this core has heard it.',
    labelNames,
    registers,
  });
  const failedAudits = new Gauge({
    name: 'sheratan_failed_audits',
    help: 'How often a host gave back another event than it has signed for, or none; absent until this core has heard it.',
    labelNames,
    registers,
  });
  const treeAge = new Gauge({
    name: 'sheratan_tree_age_seconds',
    help: 'The age of the tree that a host shows; absent until this core has heard it.',
    labelNames,
    registers,
  });
  const staged = new Gauge({
    name: 'sheratan_staged_events',
    help: 'Events that a host keeps until this core is elected.',
    labelNames: ['host'],
    registers,
  });
  const proofs = new Gauge({
    name: 'sheratan_proof_total',
    help: 'Proofs against a host that the log holds, by what it has proven itself dishonest with.',
    labelNames: ['host', 'kind'],
    registers,
  });
  const epochs = new Counter({
    name: 'sheratan_epochs_total',
    help: 'Epochs that this process has claimed.',
    registers,
  });
  const leftOut = new Counter({
    name: 'sheratan_left_out_total',
    help: 'Hosts that elections of this process have left out: they show what a restored log does not have.',
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
