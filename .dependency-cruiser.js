/** The layer rule of ARCHITECTURE.md: dependencies point inward. Type-only imports count too. */

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
      comment: 'An import that resolves to nothing.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
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
