#!/usr/bin/env node
import { Command } from 'commander';

/** A command's code is loaded when it runs: to help, and to refuse a mistake in the arguments, costs none of it. */
const from =
  <Commands extends object>(load: () => Promise<Commands>) =>
  (name: keyof Commands) =>
  async (...given: unknown[]): Promise<void> =>
    void (await ((await load())[name] as (...given: unknown[]) => unknown)(...given));

const auditCommands = from(() => import('./commands/audit.js'));
const accountCommands = from(() => import('./commands/account.js'));
const configCommands = from(() => import('./commands/config.js'));
const backupCommands = from(() => import('./commands/backup.js'));
const clientCommands = from(() => import('./commands/client.js'));
const hospitalCommands = from(() => import('./commands/hospital.js'));
const modelCommands = from(() => import('./commands/model.js'));
const policyCommands = from(() => import('./commands/policy.js'));
const reindexCommands = from(() => import('./commands/reindex.js'));
const replayScoreCommands = from(() => import('./commands/replay-score.js'));
const rekeyCommands = from(() => import('./commands/rekey.js'));
const deliveryCommands = from(() => import('./commands/delivery.js'));
const scoreCommands = from(() => import('./commands/score.js'));
const serveCommands = from(() => import('./commands/serve.js'));
const tokenCommands = from(() => import('./commands/token.js'));

/** The command line. Each subcommand is one function of `commands/`; `--help` of each says what it takes. */
const program = new Command('hub').description('Regional imaging federation hub (区域影像数据共享联邦中心)');

program
  .command('serve')
  .description('run the hub: HTTP server, connectors, scoring workers')
  .option('--demo', 'create the demonstration region on first start and serve it')
  .action(serveCommands('serve'));

const hospital = program.command('hospital').description('join hospitals and look after their sources');
hospital
  .command('add <file>')
  .description(
    'join a hospital from a YAML record: id, name, consortium, assigner, sources, client (see docs/join-a-hospital.md)',
  )
  .action(hospitalCommands('addHospitalFromFile'));
hospital
  .command('list')
  .description('hospitals with their sources, studies and quarantine')
  .action(hospitalCommands('listHospitalsTable'));
hospital
  .command('check [id]')
  .description('ask each source whether it answers: reachability, lag, last error, what waits in quarantine')
  .action(hospitalCommands('checkHospitals'));

program
  .command('commission')
  .description('the health commission')
  .command('add <id> <name>')
  .description('enter it, so that its officers and auditors can be bound to it')
  .action(hospitalCommands('enterCommission'));

const client = program.command('client').description('systems of hospitals that sign in by key');
client
  .command('keygen <file>')
  .description('make a key pair: the private key goes to a new file, the public one is printed for the hospital’s record')
  .action(clientCommands('createClientKey'));
client.command('list').description('registered systems with their roles and scope').action(clientCommands('listClients'));

const account = program.command('account').description('people: what an identity of the OpenID Connect issuer may act as');
account
  .command('bind')
  .description('give a person her roles; a patient’s login is bound to one Patient')
  .requiredOption('--subject <sub>', 'subject at the issuer')
  .requiredOption('--name <name>', 'name as the audit shows it')
  .requiredOption('--role <role...>', 'roles, e.g. physician')
  .option('--issuer <url>', 'issuer; default: the configured one')
  .option('--organization <id>', 'Organization that she works for')
  .option('--practitioner <id>', 'Practitioner that she is')
  .option('--patient <id>', 'Patient that she is')
  .option('--guardian <id...>', 'RelatedPersons that she is, by which she acts for others as their guardian')
  .action(accountCommands('bindPerson'));
account.command('list').description('accounts with their roles').action(accountCommands('listAccounts'));
account
  .command('disable <id>')
  .description('end an account’s access, its tokens included')
  .action(accountCommands('disableAccount'));

program
  .command('token')
  .description('print an access token of a running hub')
  .option('--as <username>', 'sign in as a person of the demonstration')
  .option('--client <id>', 'as a system, by its private key')
  .option('--key <file>', 'private key of the client (JWK)')
  .option('--role <role>', 'one of the person’s roles')
  .option('--purpose <code>', 'purpose of use, e.g. TREAT')
  .option('--scope <scope>', 'SMART scopes', 'system/*.cruds')
  .option('--url <url>', 'the hub’s address')
  .action(tokenCommands('printToken'));

program
  .command('config')
  .description('every setting with its variable, default and meaning')
  .action(configCommands('listSettings'));

program
  .command('reindex [hospital]')
  .description('read the sources of one hospital, or of all, from the beginning')
  .action(reindexCommands('reindex'));
program
  .command('rekey')
  .description(
    'bring everything that is encrypted under the current secret, after it was changed (HUB_PREVIOUS_SECRETS names the old one)',
  )
  .action(rekeyCommands('rekey'));

const policy = program.command('policy').description('access policy: its epochs, and how it is changed');
const NOTE = ['--note <why>', 'why; it stands in the history'] as const;
const AT_ONCE = ['--at-once', 'put it in force without a second person; the audit says so'] as const;
policy
  .command('check [folder]')
  .description(
    'load a policy (the program’s, or a folder’s) and run its examples; with a database, also compare it with the one in force',
  )
  .action(policyCommands('checkPolicy'));
policy
  .command('status')
  .description('the policy in force, and what came with the program that it lacks; exit status 1 when it lacks something')
  .action(policyCommands('policyStatus'));
policy
  .command('upgrade')
  .description('propose the policy in force with what it lacks of the program’s; another person publishes it')
  .requiredOption(...NOTE)
  .option(...AT_ONCE)
  .action(policyCommands('upgradePolicy'));
policy.command('diff [folder]').description('how it differs from the one in force').action(policyCommands('diffPolicy'));
policy
  .command('publish [folder]')
  .description('propose it; another person publishes it')
  .requiredOption(...NOTE)
  .option(...AT_ONCE)
  .action(policyCommands('publishPolicy'));
policy.command('history').description('epochs, newest first, and open proposals').action(policyCommands('policyHistory'));
policy.command('show [epoch]').description('the rules in force, or those of an epoch').action(policyCommands('showPolicy'));
policy
  .command('rollback <epoch>')
  .description('propose an earlier epoch again')
  .requiredOption(...NOTE)
  .option(...AT_ONCE)
  .action(policyCommands('rollbackPolicy'));
policy
  .command('replay <auditEvent>')
  .description('make a past decision again under the epoch that decided it')
  .action(policyCommands('replayDecision'));

const model = program.command('model').description('scoring models');
const FOLDER = ['--folder <folder>', 'where the model folders lie, if not in the program'] as const;
model
  .command('list')
  .description('models with version, hash and licence')
  .option(...FOLDER)
  .action(modelCommands('listModelsTable'));
model
  .command('check [name]')
  .description('check manifest, hash, graph and self-test')
  .option(...FOLDER)
  .action(modelCommands('checkModels'));

const score = program.command('score').description('scores that failed for good, and published ones made again');
score
  .command('failures [hospital]')
  .description('failed scores of a hospital’s studies, or of all, with the reason')
  .action(scoreCommands('listFailures'));
score.command('retry <task...>').description('begin failed scores again').action(scoreCommands('retryScores'));
score
  .command('unfiled [hospital]')
  .description('documents of scores that could not be filed in the archive of their custodian, with the reason')
  .action(scoreCommands('listUnfiled'));
score.command('file <task...>').description('file again what could not be').action(scoreCommands('fileAgain'));
score
  .command('replay <id>')
  .description('make a published score again, by the id of its DiagnosticReport or Provenance, and compare it to the last bit')
  .action(replayScoreCommands('replayPublished'));

const delivery = program.command('delivery').description('deliveries to other archives that failed for good');
delivery
  .command('failures [hospital]')
  .description('failed deliveries to a hospital, or all, with the reason')
  .action(deliveryCommands('listFailures'));
delivery
  .command('retry <task...>')
  .description('begin failed deliveries again, in the right of whoever asked for them')
  .action(deliveryCommands('retryDeliveries'));

const audit = program.command('audit').description('the audit and its proof (see docs/audit-proof.md)');
const KEY = ['--key <key...>', 'trusted key: its thumbprint, or a file with a JWK or JWK Set'] as const;
const HEAD = ['--head <head...>', 'signed head that was kept outside: a file or the JWS itself'] as const;
const TOLERANCE = ['--tolerance <seconds>', 'longest that a transaction may take to commit; default 900'] as const;
audit
  .command('verify <file>')
  .description('check an export; needs neither database nor network')
  .option(...KEY)
  .option(...HEAD)
  .option(...TOLERANCE)
  .action(auditCommands('verifyFile'));
audit
  .command('check')
  .description('check the database against its signed heads')
  .option(...KEY)
  .option(...HEAD)
  .option(...TOLERANCE)
  .action(auditCommands('checkAudit'));
audit
  .command('export <file>')
  .description('write the audit, or some of its leaves, with what proves them (NDJSON)')
  .option('--from <leaf>', 'first leaf; default 0')
  .option('--to <leaf>', 'first leaf that is not wanted; default: all')
  .option('--witnessed <size...>', 'show that trees of these sizes are beginnings of this one')
  .action(auditCommands('exportToFile'));
audit
  .command('archive <month>')
  .description('move a month (YYYY-MM) older than auditRetentionMonths out of the database; leaves and heads stay')
  .requiredOption('--to <folder>', 'where the file goes')
  .action(auditCommands('archive'));
audit
  .command('head')
  .description('print the newest signed head, to be kept by a witness outside')
  .action(auditCommands('printHead'));

const PASSPHRASE = ['--passphrase-file <file>', 'file whose first line is the passphrase; otherwise it is asked for'] as const;
const backup = program
  .command('backup')
  .description('back up the database beside a running hub (see docs/backup-and-restore.md)')
  .argument('<folder>', 'a folder that is not there yet')
  .action(backupCommands('backUp'));
backup
  .command('check <folder>')
  .description('read a whole backup: every file is there as it was written, and the configured secrets open it')
  .action(backupCommands('checkBackup'));
backup
  .command('keys <file>')
  .description('write the configured secrets to a file, encrypted under a passphrase, to be kept apart from the backups')
  .option(...PASSPHRASE)
  .action(backupCommands('sealKeys'));
backup
  .command('open-keys <file>')
  .description('print the secrets of such a file as settings')
  .option(...PASSPHRASE)
  .action(backupCommands('openKeys'));
program.command('restore <folder>').description('restore a backup into an empty database').action(backupCommands('restore'));

program.parseAsync().catch((error: Error) => {
  process.stderr.write(`hub: ${error.message}\n`);
  process.exitCode = 1;
});
