import { type Listener, listenTo } from '../../store/listen.js';

/**
 * Listens for new epochs of the policy, so that a process has built one before the first request asks for it. Only a speed-up: a message
 * that never comes costs a request the time of building, nothing else.
 */
export function watchPolicy(url: string, onEpoch: () => void): Listener {
  return listenTo({ url, application: 'hub-policy', channels: ['policy_epoch'], onMessage: onEpoch, onConnect: onEpoch });
}
