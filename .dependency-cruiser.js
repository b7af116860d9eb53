/** The layers and rooms of ARCHITECTURE.md: what may not import what. Type-only imports count too. */

/** A rule that a room of src/infra imports none of some others. @param but files of those that it may import */
function room(name, others, but) {
  return {
    name: `${name.replace(/\W+/g, '-')}-keeps-to-itself`,
    comment: `src/infra/${name} may not import ${others.join(', ')}: see the table in ARCHITECTURE.md.`,
    severity: 'error',
    from: { path: `^src/infra/(${name})/` },
    to: { path: `^src/infra/(${others.join('|')})/`, ...(but === undefined ? {} : { pathNot: but }) },
  };
}

const OFFGRID = ['offgrid'];
const DOORS = ['graphql', 'http', 'cli'];

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'domain-is-pure',
      comment: 'src/domain imports only itself: no I/O, no Node built-ins, no packages.',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { pathNot: '^src/domain/' },
    },
    {
      name: 'projections-know-only-the-domain',
      comment: 'src/projections holds tables and pure folds: it imports the domain and itself.',
      severity: 'error',
      from: { path: '^src/projections/' },
      to: { pathNot: '^src/(domain|projections)/' },
    },
    {
      name: 'platform-knows-nothing-of-ours',
      comment: 'src/infra/platform is what every program needs of the machine: it imports nothing else of ours.',
      severity: 'error',
      from: { path: '^src/infra/platform/' },
      to: { path: '^src/', pathNot: '^src/infra/platform/' },
    },
    {
      name: 'tools-know-only-the-platform',
      comment: 'src/infra/sqlite, access and http-kit import nothing else of ours but the platform.',
      severity: 'error',
      from: { path: '^src/infra/(sqlite|access|http-kit)/' },
      to: { path: '^src/', pathNot: '^src/infra/(platform|$1)/' },
    },
    {
      name: 'graphql-stays-at-its-door',
      comment: 'Only src/infra/graphql, and the server that serves it, know of GraphQL.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/infra/(graphql|http)/' },
      to: { path: 'node_modules/(graphql|type-graphql|@apollo|graphql-ws|graphql-scalars)/' },
    },
    {
      name: 'areas-keep-to-themselves',
      comment: 'An area of the API imports no other; replication adds a field to missions.',
      severity: 'error',
      from: { path: '^src/infra/graphql/(events|missions|projections|replication)/' },
      to: {
        path: '^src/infra/graphql/(events|missions|projections|replication)/',
        pathNot: '^src/infra/graphql/($1/|missions/mission-types\\.ts$)',
      },
    },
    {
      name: 'crypto-knows-the-platform-and-the-domain',
      comment: 'src/infra/crypto imports nothing else of ours.',
      severity: 'error',
      from: { path: '^src/infra/crypto/' },
      to: { path: '^src/', pathNot: '^src/(domain|infra/(platform|crypto))/' },
    },
    room('eventlog', ['app', 'services', 'projector', ...OFFGRID, ...DOORS]),
    room('projector|readmodels', ['commands', 'processes', 'services', 'app', ...OFFGRID, ...DOORS]),
    room('commands', ['processes', 'services', 'app', 'offgrid/(host|broker)', ...DOORS]),
    room('services', ['processes', 'app', 'offgrid/(host|broker|restore)', ...DOORS]),
    room('processes', ['app', 'offgrid/(host|broker)', ...DOORS]),
    room('transfer', ['services', 'processes', 'app', ...OFFGRID, ...DOORS]),
    room('graphql', ['app', 'http', 'cli']),
    room('http', ['app', 'cli']),
    room('offgrid/protocol', ['offgrid/(host|broker|replication|restore)', 'services', 'app', ...DOORS]),
    room(
      'offgrid/host',
      ['offgrid/(broker|replication|restore)', 'services', 'app', ...DOORS],
      '^src/infra/offgrid/broker/client\\.ts$',
    ),
    room('offgrid/broker', ['offgrid/(host|replication|restore)', 'services', 'app', ...DOORS]),
    room('offgrid/replication', ['offgrid/(host|restore)', 'services', 'app', ...DOORS]),
    room('offgrid/restore', ['offgrid/(host|broker|replication)', 'services', 'app', ...DOORS]),
    room('maintenance', ['services', 'app', 'offgrid/(host|broker)', ...DOORS]),
    {
      name: 'commands-of-the-cli-are-the-outside',
      comment: 'src/infra/cli parses, calls and prints: only src/main.ts imports it.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(main\\.ts$|infra/cli/)' },
      to: { path: '^src/infra/cli/' },
    },
    {
      name: 'nothing-loose',
      comment: 'Every file of src/infra lies in a room.',
      severity: 'error',
      from: {},
      to: { path: '^src/infra/(offgrid/)?[^/]+\\.ts$' },
    },
    {
      name: 'no-folder-cycles',
      comment: 'Rooms that import each other are one room.',
      severity: 'error',
      scope: 'folder',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'main-is-the-outside',
      comment: 'src/main.ts is the command line: nothing imports it.',
      severity: 'error',
      from: { pathNot: '^test/' },
      to: { path: '^src/main\\.ts$' },
    },
    {
      name: 'src-stands-alone',
      comment: 'What runs in production imports nothing from tests, benches or scripts.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|scripts)/' },
    },
    {
      name: 'no-development-packages-in-src',
      comment: 'A package that src needs at run time belongs in dependencies.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'only-declared-packages',
      comment: 'A package that is imported is named in package.json.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that resolves to nothing; the build need not exist (test/style.test.ts checks its paths).',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '/dist/' },
    },
    {
      name: 'no-cycles',
      comment: 'Modules that import each other are one module.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'signals-are-of-a-process',
      comment:
        'What waits for signals lets go of the channel to whoever started its process: tests run it in a process of its own.',
      severity: 'error',
      from: { path: '^test/' },
      to: { path: '^src/infra/cli/(broker|host|serve|stop|up)\\.ts$', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-orphans',
      comment: 'A module that imports nothing and that nothing imports is dead.',
      severity: 'error',
      from: {
        orphan: true,
        pathNot: [
          '^src/main\\.ts$',
          '^test/.+\\.test\\.ts$',
          '^test/model/.+\\.mjs$',
          '^bench/.+\\.bench\\.ts$',
          '\\.d\\.ts$',
        ],
      },
      to: {},
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|dist-bench|bin)/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
