import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

/** The share of exported declarations that must have a doc comment, or a description in the schema. */
const MIN_DOCUMENTED = 0.95;

/** Calls that make something of the schema. These take its description as an argument; */
const DESCRIBED_BY_ARGUMENT: ReadonlySet<string> = new Set(['enumOf', 'createUnionType', 'registerEnumType']);
/** these write it themselves. */
const DESCRIBED_BY_NAME: ReadonlySet<string> = new Set(['resultOf', 'connectionOf']);

interface Exported {
  readonly name: string;
  readonly isDocumented: boolean;
}

/** The declarations that a file exports, without those that it passes on from another file. */
function exportedBy(path: string, text: string): Exported[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const isInSchema = path.startsWith(join('infra', 'graphql'));
  return file.statements.flatMap((statement) => {
    const modifiers = ts.canHaveModifiers(statement) ? ts.getModifiers(statement) : undefined;
    if (modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) !== true) return [];
    const hasComment = ts.getJSDocCommentsAndTags(statement).some(ts.isJSDoc);
    const isDocumented = hasComment || (isInSchema && isDescribed(statement));
    return namesOf(statement).map((name) => ({ name: `${path} ${name}`, isDocumented }));
  });
}

function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map((declaration) => declaration.name.getText());
  return ts.isDeclarationStatement(statement) ? [statement.name?.getText() ?? 'default'] : [];
}

/** Whether the schema has a description of what is declared. */
function isDescribed(statement: ts.Statement): boolean {
  if (ts.isClassDeclaration(statement))
    return (ts.getDecorators(statement) ?? []).some(({ expression }) => hasDescription(expression));
  if (!ts.isVariableStatement(statement)) return false;
  return statement.declarationList.declarations.every(({ initializer }) => {
    if (initializer === undefined || !ts.isCallExpression(initializer)) return false;
    const called = initializer.expression.getText();
    return DESCRIBED_BY_NAME.has(called) || (DESCRIBED_BY_ARGUMENT.has(called) && hasDescription(initializer));
  });
}

function hasDescription(expression: ts.Expression): boolean {
  if (!ts.isCallExpression(expression)) return false;
  const options = expression.arguments.find(ts.isObjectLiteralExpression);
  return options?.properties.some(({ name }) => name?.getText() === 'description') === true;
}

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

it(`at least ${MIN_DOCUMENTED * 100} % of the exported declarations are documented`, () => {
  const exported = files.flatMap((name) => exportedBy(name, readFileSync(join('src', name), 'utf8')));
  const lacking = exported.filter(({ isDocumented }) => !isDocumented).map(({ name }) => name);
  const share = 1 - lacking.length / exported.length;
  expect(share, `lacking a doc comment or a description:\n${lacking.join('\n')}`).toBeGreaterThanOrEqual(
    MIN_DOCUMENTED,
  );
});
