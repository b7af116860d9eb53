import {
  GraphQLError,
  Kind,
  type ASTVisitor,
  type FieldNode,
  type GraphQLField,
  type OperationDefinitionNode,
  type ValidationContext,
  type ValidationRule,
} from 'graphql';

/** What one definition requests: its own rows, and fragments, each as many times as the enclosing pages may have rows. */
interface Asked {
  rows: number;
  readonly spreads: { readonly fragment: string; readonly times: number }[];
}

/**
 * Limits the rows that a document may request; a page within a page multiplies. A page size given by a variable is unknown
 * during validation and counts as the largest. Each fragment is summed once, so that deeply nested fragments do not take long.
 */
export function rowLimit(maxRows: number, maxPage: number): ValidationRule {
  return (context: ValidationContext): ASTVisitor => {
    const operations = new Map<OperationDefinitionNode, Asked>();
    const fragments = new Map<string, Asked>();
    const totals = new Map<string, number>();
    let asked: Asked = { rows: 0, spreads: [] };
    /** How many times the current selection may be requested: the product of the enclosing page sizes. */
    let times = 1;

    const begin = (): Asked => {
      times = 1;
      asked = { rows: 0, spreads: [] };
      return asked;
    };
    const total = ({ rows, spreads }: Asked): number =>
      spreads.reduce((sum, spread) => sum + spread.times * ofFragment(spread.fragment), rows);
    const ofFragment = (name: string): number => {
      const known = totals.get(name);
      if (known !== undefined) return known;
      // Ends the recursion of a fragment that contains itself; another rule refuses such a fragment.
      totals.set(name, 0);
      const fragment = fragments.get(name);
      const sum = fragment === undefined ? 0 : total(fragment);
      totals.set(name, sum);
      return sum;
    };

    return {
      OperationDefinition: (node) => void operations.set(node, begin()),
      FragmentDefinition: ({ name }) => void fragments.set(name.value, begin()),
      FragmentSpread: ({ name }) => void asked.spreads.push({ fragment: name.value, times }),
      Field: {
        enter: (node) => {
          const size = pageSize(node, context.getFieldDef(), maxPage);
          if (size === undefined) return;
          times *= size;
          asked.rows += times;
        },
        leave: (node) => {
          times /= pageSize(node, context.getFieldDef(), maxPage) ?? 1;
        },
      },
      Document: {
        leave: () => {
          for (const [node, operation] of operations) {
            const rows = total(operation);
            if (rows <= maxRows) continue;
            const message = `The document requests up to ${rows} rows; at most ${maxRows} are allowed, and pages within pages multiply. Request smaller pages with \`first\` (a variable counts as ${maxPage}), or read the rest in another request.`;
            context.reportError(new GraphQLError(message, { nodes: node }));
          }
        },
      },
    };
  };
}

/** The rows that a field may return; `undefined` when it returns no page. Sizes out of range are refused elsewhere. */
function pageSize(
  { arguments: given = [] }: FieldNode,
  field: GraphQLField<unknown, unknown> | null | undefined,
  maxPage: number,
): number | undefined {
  const first = field?.args.find(({ name }) => name === 'first');
  if (first === undefined) return undefined;
  const value = given.find(({ name }) => name.value === 'first')?.value;
  if (value === undefined || value.kind === Kind.NULL) return Number(first.defaultValue);
  if (value.kind !== Kind.INT) return maxPage;
  return Math.min(Math.max(Number(value.value), 1), maxPage);
}
