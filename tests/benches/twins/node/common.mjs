// What both twins have: secrets that are read once in five minutes, log lines, and metrics in CloudWatch's embedded format.
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

const SECRET_MILLISECONDS = 300_000;
const client = new SecretsManagerClient({});
const secrets = new Map();

export async function secret(variable) {
  const kept = secrets.get(variable);
  if (kept && Date.now() < kept.until) return kept.value;
  const answer = await client.send(new GetSecretValueCommand({ SecretId: process.env[variable] }));
  const value = JSON.parse(answer.SecretString);
  secrets.set(variable, { value, until: Date.now() + SECRET_MILLISECONDS });
  return value;
}

export function log(message, fields) {
  const line = { timestamp: new Date().toISOString(), level: "INFO", message, ...fields };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

export function writeMetric(name, service, value) {
  const metrics = [{ Namespace: "Norce", Dimensions: [["service"]], Metrics: [{ Name: name, Unit: "Count" }] }];
  const line = { _aws: { Timestamp: Date.now(), CloudWatchMetrics: metrics }, service, [name]: value };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
