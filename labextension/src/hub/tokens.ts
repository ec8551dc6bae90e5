export const CommandIDs = {
  openStatus: 'aidp:open-gpu-status',
  extend: 'aidp:extend-gpu-lease',
  wait: 'aidp:wait-for-gpu',
  leave: 'aidp:leave-gpu-line'
} as const;
