import { ArgsType, Field, Int, ObjectType, type ClassType } from 'type-graphql';
import { DEFAULT_PAGE, MAX_PAGE, type Page, type PageRequest } from '../../readmodels/page.js';

@ObjectType({ description: 'This object shows where a page of a connection ends.' })
export class PageInfo {
  @Field(() => Boolean, { description: 'This is true when more items follow the page.' })
  readonly hasNextPage!: boolean;

  @Field(() => String, {
    nullable: true,
    description: 'This cursor, passed as `after`, returns the next page. It is null when the page is empty.',
  })
  readonly endCursor!: string | null;
}

/** What `first` of a page means. @param defaultSize the size of a page when `first` is left out or null */
export function describeFirst(defaultSize: number): string {
  return `The page has at most this many items, 1–${MAX_PAGE}. The default is ${defaultSize}.`;
}

/** The arguments of a connection. */
@ArgsType()
export class PageArgs implements PageRequest {
  @Field(() => Int, { nullable: true, defaultValue: DEFAULT_PAGE, description: describeFirst(DEFAULT_PAGE) })
  readonly first?: number | null;

  @Field(() => String, {
    nullable: true,
    description:
      'The page begins after this cursor, which a page of the same list returned. The default is the newest item.',
  })
  readonly after?: string | null;
}

/** What `pageInfo` of a connection means. */
export const PAGE_INFO = 'This shows where the page ends, and whether more items follow.';

/** The types of a connection over a node type, newest first: `<Name>Connection` and `<Name>Edge`. */
export function connectionOf<N extends object>(name: string, node: ClassType<N>): ClassType<Page<N>> {
  @ObjectType(`${name}Edge`, { description: `This object holds one ${name} of a page, and its cursor.` })
  class Edge {
    @Field(() => String, { description: 'This cursor, passed as `after`, returns the items that follow this one.' })
    readonly cursor!: string;

    @Field(() => node, { description: `This is the ${name} at the cursor.` })
    readonly node!: N;
  }

  @ObjectType(`${name}Connection`, {
    description: `This object is one page of a list of ${name} objects, newest first.`,
  })
  class Connection {
    @Field(() => [Edge], { description: 'These are the items of the page, newest first.' })
    readonly edges!: Edge[];

    @Field(() => PageInfo, { description: PAGE_INFO })
    readonly pageInfo!: PageInfo;

    readonly count!: () => Promise<number>;

    @Field(() => Int, {
      description: 'The list has this many items on all its pages. They are counted only when this field is requested.',
    })
    totalCount(): Promise<number> {
      return this.count();
    }
  }

  return Connection;
}
