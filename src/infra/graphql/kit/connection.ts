import { ArgsType, Field, Int, ObjectType, type ClassType } from 'type-graphql';
import { DEFAULT_PAGE, type Page, type PageRequest } from '../../readmodels/page.js';

/** Where a page of a connection ends. */
@ObjectType()
export class PageInfo {
  @Field(() => Boolean)
  readonly hasNextPage!: boolean;

  @Field(() => String, { nullable: true, description: 'Give it as `after` to read on.' })
  readonly endCursor!: string | null;
}

/** The arguments of a connection. */
@ArgsType()
export class PageArgs implements PageRequest {
  @Field(() => Int, { nullable: true, defaultValue: DEFAULT_PAGE, description: '1–100.' })
  readonly first?: number | null;

  @Field(() => String, { nullable: true, description: 'The cursor to read on after.' })
  readonly after?: string | null;
}

/** The types of a connection over a node type: `<Name>Connection` and `<Name>Edge`. */
export function connectionOf<N extends object>(name: string, node: ClassType<N>): ClassType<Page<N>> {
  @ObjectType(`${name}Edge`)
  class Edge {
    @Field(() => String)
    readonly cursor!: string;

    @Field(() => node)
    readonly node!: N;
  }

  @ObjectType(`${name}Connection`)
  class Connection {
    @Field(() => [Edge])
    readonly edges!: Edge[];

    @Field(() => PageInfo)
    readonly pageInfo!: PageInfo;

    readonly count!: () => Promise<number>;

    @Field(() => Int, { description: 'How many there are in all; counted when asked for.' })
    totalCount(): Promise<number> {
      return this.count();
    }
  }

  return Connection;
}
