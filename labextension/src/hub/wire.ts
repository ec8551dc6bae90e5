/** `hub/gpus`, as the server tells it. Times are milliseconds by the hub's clock. */
export interface IGpus {
  readonly is_on: boolean;
  readonly now_ms: number;
  readonly gpus: readonly IGpu[];
  readonly waiting: number;
  readonly lease: ILease | null;
  readonly place: IPlace | null;
  readonly problem: string | null;
}

export interface IGpu {
  readonly kind: string;
  readonly is_free: boolean;
  readonly user: string | null;
  readonly until_ms: number | null;
}

export interface ILease {
  readonly kind: string;
  /** Else it is offered, and taken by starting the server with a GPU. */
  readonly is_held: boolean;
  readonly since_ms: number;
  readonly until_ms: number;
  /** Somebody waits for it. */
  readonly is_wanted: boolean;
  /** When the server is stopped, where that is settled. */
  readonly ends_ms: number | null;
  /** Because the GPU does nothing. */
  readonly is_idle: boolean;
}

export interface IPlace {
  readonly position: number;
  readonly turn_ms: number | null;
}

/** `hub/memory`: of this server. */
export interface IMemory {
  /** In bytes; null where there is none. */
  readonly limit: number | null;
  /** How many of its processes the system has ended for want of memory. */
  readonly ended: number;
}
