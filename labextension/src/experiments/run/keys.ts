/** What MLflow calls metrics of the machine. */
const SYSTEM = 'system/';
/** Tags that programs write for each other. */
const PROGRAMS = /^(mlflow|aidp)\./;

export function isSystem(metric: string): boolean {
  return metric.startsWith(SYSTEM);
}

/** Whether a tag is one of a person's. */
export function isOwnTag(tag: string): boolean {
  return !PROGRAMS.test(tag);
}
